//! Rules and patterns that make no sense: refused before anything is made.

use super::{quick, refused};
use crate::support::repo::Repo;

#[test]
fn a_rule_that_makes_no_sense_starts_nothing() {
    let repo = Repo::new();
    let model = quick(&repo);
    let why = "a rule is allow, ask or deny, and a tool, as in deny bash(git push*)";
    let tools = "ask, bash, edit, finish, plan, read, search, write";
    for (rule, why) in [
        ("forbid bash", why.to_owned()),
        ("deny shell(rm*)", format!("there is no tool shell; there are {tools}")),
        ("deny bash(rm", "its ) is missing".to_owned()),
    ] {
        repo.git(&["config", "agent.permission", rule]);
        let wanted = format!(
            "error: bad rule '{rule}': {why}\n\
             hint: git config --show-origin --get-all agent.permission\n"
        );
        refused(&repo, &["start", "x", "--model", &model], 2, &wanted);
    }
}

#[test]
fn x07_a_pattern_that_leads_out_starts_nothing() {
    let repo = Repo::new();
    let model = quick(&repo);
    for (flag, pattern) in [("--scope", "../x"), ("--exclude", "/etc"), ("--protect", "~/x")] {
        let wanted = format!(
            "error: invalid value '{pattern}' for '{flag} <PATTERN>': it is a path from the root \
             of the repository, such as src/** or **/*.pem, and leads nowhere else\n\
             hint: git agent start -h\n"
        );
        refused(&repo, &["start", "x", "--model", &model, flag, pattern], 2, &wanted);
    }
    repo.git(&["config", "agent.protect", "$HOME/x"]);
    refused(
        &repo,
        &["start", "x", "--model", &model],
        2,
        "error: bad value '$HOME/x' for agent.protect (file:[ROOT]/shop/.git/config): expected a path \
         from the root of the repository, such as docs/** or **/*.pem\n\
         hint: git config --show-origin --get-all agent.protect\n",
    );
}
