//! The settings by name, as the manual tells of them.
//!
//! Invariant: what stands here is read by [`super::Config::read`], and the other way round.

/// A setting, as the manual tells of it.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name; `<provider>` stands for any.
    pub name: &'static str,
    /// The shape of its value.
    pub value: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// All settings, in the order of the manual.
pub const KEYS: &[Key] = &[
    Key {
        name: "agent.model",
        value: "<provider>/<model>",
        about: "The model, where --model names none.",
    },
    Key {
        name: "agent.verify",
        value: "<command>",
        about: "A command that must succeed before a session is done. May be given several times; an empty value forgets those before it.",
    },
    Key {
        name: "agent.setup",
        value: "<command>",
        about: "A command to run in each new worktree before the agent begins, such as the installation of dependencies. It runs in the session's sandbox, and reaches the hosts that the session may; GIT_AGENT_SESSION and GIT_AGENT_ROOT are set for it.",
    },
    Key {
        name: "agent.worktreePath",
        value: "<template>",
        about: "Where worktrees are made. {repo} is the name of the repository and {name} that of the session. Default: ../{repo}.worktrees/{name}.",
    },
    Key {
        name: "agent.branchPrefix",
        value: "<prefix>",
        about: "What the names of session branches begin with. Default: agent/.",
    },
    Key {
        name: "agent.commitStrategy",
        value: "incremental|turn|single|none",
        about: "When work becomes commits: at each step, at the end of each turn, once, or never. Default: incremental.",
    },
    Key {
        name: "agent.trailers",
        value: "<bool>",
        about: "Whether commits carry Agent-Session and Assisted-by trailers. Default: true.",
    },
    Key {
        name: "agent.keepWorktree",
        value: "<bool>",
        about: "Whether the worktree stays when a session has landed; if not, it is removed as by git agent worktree remove. Default: true.",
    },
    Key {
        name: "agent.maxFileSize",
        value: "<size>",
        about: "New files larger than this are left out of commits, with a notice. Takes the suffixes k, m and g. Default: 10m.",
    },
    Key {
        name: "agent.budget",
        value: "<dollars>",
        about: "When a session has cost this much, a person is asked whether it may cost as much again; none never asks. Money is counted where the model's price is known. Default: 5.",
    },
    Key {
        name: "agent.maxTokens",
        value: "<tokens>",
        about: "The same for tokens, in and out. Takes the suffixes k and m. Default: none.",
    },
    Key { name: "agent.maxSteps", value: "<steps>", about: "The same for steps. Default: 200." },
    Key {
        name: "agent.timeout",
        value: "<time>",
        about: "The same for the time that a session is at work, such as 90m or 2h. Default: 2h.",
    },
    Key {
        name: "agent.patience",
        value: "<seconds>",
        about: "How long a model server that gives no answer is tried again before the session pauses. Default: 600.",
    },
    Key {
        name: "agent.minFreeDisk",
        value: "<size>",
        about: "Below this much free space no session is begun, and those that run pause after their step. Takes the suffixes k, m and g. Default: 512m.",
    },
    Key {
        name: "agent.keepDays",
        value: "<number>",
        about: "Days after its last activity that git agent gc keeps a session that has landed or was removed out of the archive. Default: 30.",
    },
    Key {
        name: "agent.stallTimeout",
        value: "<seconds>",
        about: "A model server that says nothing for so long, not even a ping, is asked again. Default: 60, and longer before the first word where servers think in silence.",
    },
    Key {
        name: "agent.fallbackModel",
        value: "<provider>/<model>",
        about: "The model that goes on when the patience with the session's own is spent. It goes on until the session rests.",
    },
    Key {
        name: "agent.contextWindow",
        value: "<number>",
        about: "The tokens a conversation may have before it is made shorter. Default: what is known of the model.",
    },
    Key {
        name: "agent.maxRunning",
        value: "<number>",
        about: "How many sessions run at once in a repository; the others wait in the queue. Default: 3.",
    },
    Key {
        name: "agent.maxRunningTotal",
        value: "<number>",
        about: "How many sessions run at once in all repositories of the user. Default: 8.",
    },
    Key {
        name: "agent.minFreeMemory",
        value: "<size>",
        about: "With less memory free than this, no further session is started while one runs. Default: 512m. Linux only.",
    },
    Key {
        name: "agent.maxLoad",
        value: "<number>",
        about: "With a higher load than this for each core, no further session is started while one runs. Not limited by default. Linux only.",
    },
    Key {
        name: "agent.nice",
        value: "<number>",
        about: "The niceness, 0 to 19, that the commands of tools and of checks run at. Default: 0.",
    },
    Key {
        name: "agent.memoryLimit",
        value: "<size>",
        about: "Memory that the commands of one session may have together, where a cgroup can be made for them; elsewhere the address space of each. What a linker or a test suite needs must fit. Not limited by default.",
    },
    Key {
        name: "agent.cpuLimit",
        value: "<number>",
        about: "Processors that the commands of one session may keep busy, such as 1.5, where a cgroup can be made for them. Not limited by default.",
    },
    Key {
        name: "agent.permission",
        value: "allow|ask|deny <tool>[(<pattern>)]",
        about: "A rule on the calls of agents, such as deny bash(git push*), ask write(src/**) or ask *. What names more goes first: this command or path, a pattern, the tool, any tool. Of those that name as much, deny beats ask beats allow, and a deny that matches beats all, at whatever level. May be given several times.",
    },
    Key {
        name: "agent.sandbox",
        value: "full|reduced|none",
        about: "How much of the machine is kept from the commands of a session. Default: full.",
    },
    Key {
        name: "agent.sandbox.least",
        value: "full|reduced|none",
        about: "What will do where the machine cannot do what is asked for. Without it no session is started then.",
    },
    Key {
        name: "agent.sandbox.readable",
        value: "<path>",
        about: "A file or folder, such as ~/data, that commands may read besides the worktree, the system and toolchains. May be given several times; an empty value forgets those before it.",
    },
    Key {
        name: "agent.sandbox.writable",
        value: "<path>",
        about: "A file or folder that they may change too. May be given several times.",
    },
    Key {
        name: "agent.sandbox.allowHost",
        value: "<host>",
        about: "A host that commands may reach, such as crates.io, *.example.com for all below it, or host:port; without a port 80 and 443. In a full sandbox nothing else is reached. As --allow-net. An address that is not in the internet is reached only where it is named itself. May be given several times; an empty value forgets those before it.",
    },
    Key {
        name: "agent.protect",
        value: "<pattern>",
        about: "Paths that no agent changes before you have said yes, such as migrations/** or **/*.pem; as --protect. May be given several times.",
    },
    Key {
        name: "agent.unattended",
        value: "<bool>",
        about: "Whether sessions do without the tool that asks a person. Default: false.",
    },
    Key {
        name: "agent.audit.sign",
        value: "<bool>",
        about: "Whether the record that a session comes to rest with is signed, by the key and the program that git signs commits with; each record holds those before it. Where it cannot be signed, it is written all the same, and git agent audit verify says so. Default: false.",
    },
    Key {
        name: "agent.logLevel",
        value: "error|warn|info|debug|trace",
        about: "How much a supervisor writes to its log. Default: info.",
    },
    Key {
        name: "agent.notify",
        value: "bell|desktop|command|webhook|none",
        about: "How you are told of your sessions; several names, or several times. bell: the terminals that follow the session. desktop: notify-send, or the terminal that follows it. Default: none.",
    },
    Key {
        name: "agent.notifyOn",
        value: "needs-input|done|failed|budget|milestone",
        about: "What you are told of; several names. A milestone is a finished item of the plan. Default: needs-input, done, failed, budget.",
    },
    Key {
        name: "agent.notifyCommand",
        value: "<command>",
        about: "The command of the channel of that name. It gets the notice as JSON on standard input and in variables GIT_AGENT_EVENT, GIT_AGENT_SESSION, GIT_AGENT_TITLE, GIT_AGENT_TEXT, GIT_AGENT_COMMAND; after 10 seconds it is ended.",
    },
    Key {
        name: "agent.notifyWebhook",
        value: "<url>",
        about: "The address of the channel of that name, which the notice is posted to as JSON. Plain http is for this machine only.",
    },
    Key {
        name: "agent.notifySecretCommand",
        value: "<command>",
        about: "A command that prints the secret of the webhook, used where GIT_AGENT_NOTIFY_SECRET is not set. Requests are then signed as Standard Webhooks are: webhook-signature is the HMAC-SHA256 of webhook-id, webhook-timestamp and the body.",
    },
    Key {
        name: "agent.otel.endpoint",
        value: "<url>",
        about: "The address of an OpenTelemetry collector, such as http://localhost:4318, which traces of sessions are sent to by OTLP over HTTP, as JSON; where it is not set, that of OTEL_EXPORTER_OTLP_ENDPOINT.",
    },
    Key {
        name: "agent.otel.content",
        value: "<bool>",
        about: "Whether traces hold what is said, called and answered, without known secrets; else they hold names, times, tokens and costs. Default: false.",
    },
    Key {
        name: "agent.push.requireVerify",
        value: "<bool>",
        about: "Whether what agents made must have passed the session's verify commands on the very tree that is pushed. Default: true.",
    },
    Key {
        name: "agent.push.requireSquash",
        value: "<bool>",
        about: "Whether commits of single steps are kept from being pushed, so that work arrives as one commit. Default: false.",
    },
    Key {
        name: "agent.push.requireSignature",
        value: "<bool>",
        about: "Whether agents' commits must bear a good signature to be pushed. Default: false.",
    },
    Key {
        name: "agent.push.maxSize",
        value: "<size>",
        about: "What agents' commits may add to one ref in a push, together; a single new file may have agent.maxFileSize. Takes the suffixes k, m and g. Default: 50m.",
    },
    Key {
        name: "agent.pr.cost",
        value: "<bool>",
        about: "Whether a pull request tells what the session has cost. Default: true.",
    },
    Key {
        name: "agent.pr.tries",
        value: "<n>",
        about: "How often a watched pull request gives something back to its session: failed checks, new comments. As --tries; git agent start --babysit has it from here. Default: 3.",
    },
    Key {
        name: "agent.pr.budget",
        value: "<dollars>",
        about: "Nothing more is given back once that has cost so many US dollars more; the session's own limits hold too. As --budget. Not limited by default.",
    },
    Key {
        name: "agent.pr.interval",
        value: "<seconds>",
        about: "Time between two looks at the forge, at first; where nothing changes they become rarer. As --interval. Default: 20.",
    },
    Key {
        name: "agent.pr.record",
        value: "<bool>",
        about: "Whether git agent pr pushes the session's record, refs/agent/<id>, beside the branch: all that was said and done in the session, for whoever can read the remote. As --record. Default: false.",
    },
    Key {
        name: "agent.forge.<host>.type",
        value: "github|gitlab|forgejo",
        about: "What runs at the host of a remote, where that is none of the well-known ones; gitea is the same as forgejo. The vendor's variable (GH_TOKEN, GITLAB_TOKEN, FORGEJO_TOKEN) is for this host too then. Without it the host is asked.",
    },
    Key {
        name: "agent.forge.<host>.api",
        value: "<url>",
        about: "The address of its interface, where that is not the usual one; it must be on the same host.",
    },
    Key {
        name: "agent.<provider>.baseUrl",
        value: "<url>",
        about: "The address of a provider's interface. Plain http is for this machine only.",
    },
    Key {
        name: "agent.<provider>.keyCommand",
        value: "<command>",
        about: "A command that prints the provider's key. Used where the provider's own variable is not set.",
    },
    Key {
        name: "agent.<provider>.contextWindow",
        value: "<number>",
        about: "As agent.contextWindow, for the models of one provider.",
    },
];
