//! What is found, and above all what is not.
//!
//! Invariant: no key stands in this source; each is put together when a test runs.

use super::*;

/// Letters that are no word, made anew from a seed: no key stands in this source.
fn random(seed: u64, len: usize, alphabet: &[u8]) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(alphabet[(state % alphabet.len() as u64) as usize])
    };
    (0..len).map(letter).collect()
}

const ALNUM: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const HEX: &[u8] = b"0123456789abcdef";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Rules with a text that each finds, the secret alone.
fn samples() -> Vec<(&'static str, String)> {
    let an = |seed, len| random(seed, len, ALNUM);
    let hex = |seed, len| random(seed, len, HEX);
    let key = format!("{}\n", an(1, 64)).repeat(12);
    let jwt = [r#"{"alg":"HS256","typ":"JWT"}"#, r#"{"sub":"u-9917","admin":true}"#].map(|part| {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(part)
    });
    vec![
        ("anthropic-api-key", format!("sk-ant-api03-{}AA", an(2, 93))),
        ("anthropic-oauth-token", format!("sk-ant-oat01-{}", an(3, 80))),
        ("aws-access-token", format!("AKIA{}", random(4, 16, UPPER))),
        ("digitalocean-pat", format!("dop_v1_{}", hex(5, 64))),
        ("gcp-api-key", format!("AIza{}", an(6, 35))),
        ("github-fine-grained-pat", format!("github_pat_{}", an(7, 82))),
        ("github-pat", format!("ghp_{}", an(8, 36))),
        ("gitlab-pat", format!("glpat-{}", an(9, 20))),
        ("groq-api-key", format!("gsk_{}", an(10, 52))),
        ("huggingface-access-token", format!("hf_{}", random(11, 34, &ALNUM[..26]))),
        ("jwt", format!("{}.{}.{}", jwt[0], jwt[1], an(12, 43))),
        ("npm-access-token", format!("npm_{}", an(13, 36))),
        ("openai-api-key", format!("sk-proj-{}T3BlbkFJ{}", an(14, 74), an(15, 74))),
        ("openrouter-api-key", format!("sk-or-v1-{}", hex(16, 64))),
        (
            "private-key",
            format!("-----BEGIN RSA PRIVATE KEY-----\n{key}-----END RSA PRIVATE KEY-----"),
        ),
        ("sendgrid-api-token", format!("SG.{}", an(17, 66))),
        ("slack-bot-token", format!("xoxb-{0}2-{0}23-{1}", "12345678901", an(18, 24))),
        ("stripe-access-token", format!("sk_live_{}", an(19, 24))),
    ]
}

#[test]
fn h12_keys_of_known_kinds_are_found_wherever_they_stand() {
    let secrets = Secrets::default();
    for (rule, secret) in samples() {
        for around in
            ["{}", "key={}\n", "a \"{}\", b", "\u{1b}[1m {}\u{1b}[0m", "https://x/?k={}&y=1"]
        {
            let text = around.replace("{}", &secret);
            let want = around.replace("{}", &format!("[REDACTED:{rule}]"));
            assert_eq!(secrets.take_out(&text), want, "{rule}");
            assert_eq!(secrets.take_out(&want), want, "a mark is no secret");
        }
    }
}

#[test]
fn h12_in_json_the_secret_alone_is_changed_and_json_it_stays() {
    let secrets = Secrets::default();
    for (rule, secret) in samples() {
        let mark = format!("[REDACTED:{rule}]");
        let inner = serde_json::json!({"command": format!("curl -H \"K: {secret}\"\n"), "n": 1.0});
        let outer = serde_json::json!({"a": [inner.to_string(), format!("\n{secret}\t")]});
        // Bytes that serde would write otherwise stay.
        let text = format!("{{ \"x\":1e2,  \"\\u0061\":\"\\/\",\"y\":{outer} }}");
        let clean = secrets.take_out_of_json(&text);
        let want = serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let plain = |value: &serde_json::Value| value.as_str().unwrap().replace(&secret, &mark);
        let escaped = serde_json::Value::String(secret.clone()).to_string();
        let nested = want["y"]["a"][0].as_str().unwrap().replace(escaped.trim_matches('"'), &mark);
        let got: serde_json::Value = serde_json::from_str(&clean).unwrap();
        assert_eq!(got["y"]["a"][0], nested, "{rule}");
        assert_eq!(got["y"]["a"][1], plain(&want["y"]["a"][1]), "{rule}");
        assert!(clean.starts_with("{ \"x\":1e2,  \"\\u0061\":\"\\/\",\"y\":{"), "{clean}");
    }
    for plain in [r#"{"a":"b\"c","d":[1,"\u00e9\\"]}"#, "no json \"at all", "\"\\", ""] {
        assert!(matches!(secrets.take_out_of_json(plain), Cow::Borrowed(_)), "{plain}");
    }
}

#[test]
fn h12_no_border_between_pieces_hides_a_secret() {
    let mut text = String::new();
    let mut want = String::new();
    for (rule, secret) in samples() {
        text += &format!("line\n{rule}: {secret} end\n");
        want += &format!("line\n{rule}: [REDACTED:{rule}] end\n");
    }
    for size in [1, 2, 7, 64, 1000, text.len()] {
        let mut stream = Stream::with(Arc::default());
        let mut got = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            got.extend(stream.push(piece));
        }
        got.extend(stream.rest());
        assert_eq!(String::from_utf8(got).unwrap(), want, "in pieces of {size}");
    }
}

#[test]
fn a_line_without_end_keeps_to_its_memory_and_loses_no_byte() {
    let secret = samples().swap_remove(6).1;
    let text = format!("{} {secret} ", "x".repeat(30_000)).repeat(20);
    let mut stream = Stream::with(Arc::default());
    let mut got = Vec::new();
    for piece in text.as_bytes().chunks(5000) {
        got.extend(stream.push(piece));
        assert!(stream.rest().len() <= 80_000);
    }
    got.extend(stream.rest());
    assert_eq!(String::from_utf8(got).unwrap(), text.replace(&secret, "[REDACTED:github-pat]"));
}

#[test]
fn known_values_are_found_and_ordinary_words_are_none() {
    let env = [
        ("OPENAI_API_KEY", "my own value, long"),
        ("DB_PASSWORD", "p/ss w0rd"),
        ("POSTGRES_PASSWORD", "postgres"),
        ("SSH_KEY", "/home/ada/.ssh/id"),
        ("GPG_PUBLIC_KEY", "0123456789abcdef01"),
        ("EDITOR", "vim-0123456789abcdef"),
        ("SHORT_TOKEN", "a1b2"),
        ("ZERO_TOKEN", "00000000000000000000"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let secrets = Secrets::of_env(env);
    let text = "my own value, long; p/ss w0rd; p%2Fss%20w0rd; postgres; /home/ada/.ssh/id; \
                0123456789abcdef01 vim-0123456789abcdef a1b2 00000000000000000000";
    let want = "[REDACTED:OPENAI_API_KEY]; [REDACTED:DB_PASSWORD]; [REDACTED:DB_PASSWORD]; postgres; \
                /home/ada/.ssh/id; 0123456789abcdef01 vim-0123456789abcdef a1b2 00000000000000000000";
    assert_eq!(secrets.take_out(text), want);
}

#[test]
fn a_file_of_assignments_holds_what_is_called_secret_or_looks_so() {
    let text = "# comment=1\nPORT=3000\nexport NODE_ENV=development\nAPI_TOKEN=\"abc123456\"\n\
                DATABASE_URL=postgres://app:s3cret-pw@db/shop\nAPI_URL=https://example.org/v1/x\n\
                SALT='kJ8f0Zq1Xw7Lm3Pd'\n//npm.example.org/:_authToken=tok-123456\nnot an assignment\n";
    let got: Vec<_> = assignments(text).collect();
    let want = [
        ("API_TOKEN", "abc123456"),
        ("DATABASE_URL", "s3cret-pw"),
        ("SALT", "kJ8f0Zq1Xw7Lm3Pd"),
        ("//npm.example.org/:_authToken", "tok-123456"),
    ];
    assert_eq!(got, want);
}

#[test]
fn what_only_looks_like_a_secret_survives() {
    let an = |seed, len| random(seed, len, ALNUM);
    let pictures: String = {
        use base64::Engine;
        let bytes: Vec<u8> =
            (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        base64::engine::general_purpose::STANDARD.encode(bytes)
    };
    let texts = [
        format!("commit {}\n", random(31, 40, HEX)),
        format!("sha256:{} sha512-{}==\n", random(32, 64, HEX), an(33, 86)),
        "550e8400-e29b-41d4-a716-446655440000 task-1 sk-learn ghp_short AKIAIOSFODNN7EXAMPLE\n"
            .to_owned(),
        format!("checksum = \"{}\"\nversion = \"1.2.3\"\n", random(34, 64, HEX)),
        format!("data:image/png;base64,{pictures}\n"),
        format!("ghp_{}\n", "x".repeat(36)),
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_owned(),
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n".to_owned(),
    ];
    for text in texts {
        let found = Secrets::default().find(text.as_bytes());
        assert_eq!(found, [], "{:?}", found.first().map(|it| &text[it.range.clone()]));
    }
}

/// Whatever is in this repository: source, lock file, documents, fixtures.
#[test]
fn this_repository_has_no_secret() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = 0;
    for entry in ignore::WalkBuilder::new(root).build() {
        let entry = entry.unwrap();
        // The rules themselves are like what they find.
        let is_rules = entry.path().ends_with("src/redact/gitleaks.toml");
        if !is_rules && entry.file_type().is_some_and(|it| it.is_file()) {
            let bytes = fs_err::read(entry.path()).unwrap();
            let found = Secrets::default().find(&bytes);
            assert_eq!(found, [], "{}", entry.path().display());
            files += 1;
        }
    }
    assert!(files > 100, "{files}");
}

#[test]
fn what_is_given_away_has_none_of_what_might_be_one() {
    let digits = "0123456789".repeat(4);
    let text = format!(
        "\
https://ada:pa55@example.org/x.git and https://example.org/a@b
key sk-ant-0123456789abcdefghij, ghp_{digits}.
curl -H 'Authorization: Bearer abcdef123456' DB_PASSWORD=hunter2hunter2 \"api_key\": \"a1b2c3d4e5\"
skating on sk-ice, tokens: 12345678, monkey business2024 [a1b2c3d4e5]
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAA
-----END OPENSSH PRIVATE KEY-----
end
"
    );
    let want = "\
https://[REDACTED:login]@example.org/x.git and https://example.org/a@b
key [REDACTED:key], [REDACTED:key]
curl -H 'Authorization: Bearer [REDACTED:authorization]' DB_PASSWORD=[REDACTED:DB_PASSWORD] \"api_key\": \"[REDACTED:api_key]\"
skating on sk-ice, tokens: 12345678, monkey [REDACTED:monkey] [a1b2c3d4e5]
[REDACTED:private-key]
end
";
    assert_eq!(eager::take_out(&text), want);
    assert_eq!(eager::take_out(want), want);
}

#[test]
fn marks_are_those_of_rules() {
    let text = "[REDACTED:github-pat] [REDACTED:nothing] [REDACTED: [REDACTED:jwt]";
    assert_eq!(marks(text).collect::<Vec<_>>(), ["[REDACTED:github-pat]", "[REDACTED:jwt]"]);
}

proptest::proptest! {
    #[test]
    fn text_between_secrets_stays(parts in proptest::collection::vec("\\PC{0,40}", 1..6)) {
        let secret = format!(" {} ", samples().swap_remove(6).1);
        let want = parts.join(" [REDACTED:github-pat] ");
        let secrets = Secrets::default();
        proptest::prop_assume!(secrets.find(want.as_bytes()).is_empty());
        let text = parts.join(&secret);
        proptest::prop_assert_eq!(secrets.take_out(&text), want);
    }
}
