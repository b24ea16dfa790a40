//! Rules on calls, by tables.
//!
//! Invariant: each table is a sentence of the module's doc.

use super::*;

const TOOLS: [&str; 4] = ["bash", "edit", "read", "write"];

fn rules(texts: &[&str]) -> Rules {
    Rules::parse(texts, &TOOLS).unwrap()
}

fn bash(command: &str) -> Aim {
    Aim { tool: "bash", target: Target::Command(command.to_owned()) }
}

fn write(path: &str) -> Aim {
    Aim { tool: "write", target: Target::Write(path.to_owned()) }
}

fn edit(path: &str) -> Aim {
    Aim { tool: "edit", target: Target::Write(path.to_owned()) }
}

/// `+`, `?` or `-`.
fn sign(rules: &Rules, aim: &Aim) -> char {
    match rules.judge(aim) {
        Ruling::Allow => '+',
        Ruling::Ask(_) => '?',
        Ruling::Deny(_) => '-',
    }
}

#[test]
fn x11_deny_beats_ask_beats_allow_and_what_names_more_goes_first() {
    let rules = rules(&[
        "allow bash(git push origin main)",
        "ask bash(git push*)",
        "deny bash(git push -f*)",
        "allow bash(git *)",
        "ask bash",
        "allow write(src/**)",
        "deny write(src/gen)",
        "ask *",
    ]);
    for (aim, wanted) in [
        (bash("git push origin main"), '+'),
        (bash("git push origin dev"), '?'),
        (bash("git push -f origin main"), '-'),
        (bash("git status"), '+'),
        (bash("cargo test"), '?'),
        (write("src/a/b.rs"), '+'),
        (edit("src/a/b.rs"), '+'),
        (write("src/gen/x"), '-'),
        (edit("SRC/GEN/x"), '-'),
        (write("lib/src/a"), '?'),
        (Aim { tool: "read", target: Target::Read("a".to_owned()) }, '?'),
    ] {
        assert_eq!(sign(&rules, &aim), wanted, "{aim:?}");
    }
    assert_eq!(sign(&Rules::default(), &bash("rm -rf $(x)")), '+', "the sandbox holds it");
    let Ruling::Deny(why) = rules.judge(&write("src/gen/x")) else { panic!("denied") };
    assert_eq!(why, "deny write(src/gen)");
}

#[test]
fn x12_a_pattern_allows_only_what_is_plain() {
    let rules = rules(&["ask bash", "allow bash(cargo *)"]);
    assert_eq!(sign(&rules, &bash("cargo test --lib")), '+');
    for command in [
        "cargo test; rm x",
        "cargo test && rm x",
        "cargo test > x",
        "cargo test $(rm x)",
        "X=y cargo test",
        "cargo test\nrm x",
        "cargo te\u{200b}st",
    ] {
        assert_eq!(sign(&rules, &bash(command)), '?', "{command}");
    }
}

#[test]
fn x12_a_restriction_looks_into_a_command_and_asks_where_it_cannot() {
    let rules = rules(&["deny bash(git push*)"]);
    for (command, wanted) in [
        ("cargo test && git status", '+'),
        ("cd x; git  push", '-'),
        ("A=b /usr/bin/git 'push'", '-'),
        ("git $(echo push)", '?'),
        ("sh -c 'git push'", '?'),
        ("echo git pushes", '+'),
    ] {
        assert_eq!(sign(&rules, &bash(command)), wanted, "{command}");
    }
}

#[test]
fn what_is_allowed_for_good_is_that_and_no_more() {
    for aim in [
        bash("rm -rf *.o && echo 'a\\b'"),
        bash("git push $(x)"),
        write("src/[a]*.rs"),
        Aim { tool: "read", target: Target::Read("x?".to_owned()) },
    ] {
        let allow = allowing(&aim).unwrap();
        let asks = ["ask bash(*)", "ask write(**)", "ask read(**)", &allow];
        assert_eq!(sign(&rules(&asks), &aim), '+', "{allow}");
    }
    let allow = allowing(&bash("ls *")).unwrap();
    assert_eq!(allow, "allow bash(ls \\*)");
    assert_eq!(sign(&rules(&["ask bash", &allow]), &bash("ls x")), '?');
    let allow = allowing(&write("a*")).unwrap();
    assert_eq!(sign(&rules(&["ask write(**)", &allow]), &write("ab")), '?');
    assert_eq!(allowing(&Aim { tool: "plan", target: Target::Nothing }), None);
}

#[test]
fn what_is_no_rule_says_why() {
    for (text, why) in [
        ("", "a rule is allow, ask or deny, and a tool, as in deny bash(git push*)"),
        ("forbid bash", "a rule is allow, ask or deny, and a tool, as in deny bash(git push*)"),
        ("deny shell", "there is no tool shell; there are bash, edit, read, write"),
        ("deny bash(git", "its ) is missing"),
        ("deny bash( )", "its pattern is empty"),
        ("deny *(x)", "* acts on nothing that a pattern could name"),
        (
            "deny read(/etc)",
            "it is a path from the root of the repository, such as src/** or **/*.pem, and leads \
             nowhere else",
        ),
    ] {
        let error = Rules::parse(&[text], &TOOLS).unwrap_err();
        assert_eq!(error, BadRule { text: text.to_owned(), why: why.to_owned() });
    }
    assert!(rules(&[]).is_empty());
}
