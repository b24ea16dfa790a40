//! Toolchains and caches that live in a home: which there are, and what of them a tool needs.
//!
//! Invariant: a folder is shown because it is known to hold programs or packages, never because it
//! is in the home; a cache is shown as it is, and what is added to it is kept per repository.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::view::View;

/// Where one tool keeps its things.
struct Known {
    /// The variable that says where; may be empty.
    variable: &'static str,
    /// Where it is if nothing says, in the home; may be empty.
    home: &'static str,
    /// What is read there; an empty name is all of it.
    read: &'static [&'static str],
    /// What is added to.
    cache: &'static [&'static str],
}

const fn read(variable: &'static str, home: &'static str) -> Known {
    Known { variable, home, read: &[""], cache: &[] }
}

const fn cache(variable: &'static str, home: &'static str) -> Known {
    Known { variable, home, read: &[], cache: &[""] }
}

/// Not among them: whatever holds a token or a password beside the programs.
const KNOWN: [Known; 68] = [
    read("ANDROID_HOME", "Android/Sdk"),
    read("ASDF_DATA_DIR", ".asdf"),
    read("ASDF_DIR", ""),
    Known { variable: "BUN_INSTALL", home: ".bun", read: &["bin"], cache: &["install/cache"] },
    Known { variable: "", home: ".cabal", read: &["bin"], cache: &["packages", "store"] },
    Known {
        variable: "CARGO_HOME",
        home: ".cargo",
        read: &["bin", "env"],
        cache: &["git", "registry"],
    },
    cache("", ".cache/ccache"),
    cache("", ".cache/composer"),
    read("", ".cache/electron"),
    cache("", ".cache/node-gyp"),
    read("", ".cache/ms-playwright"),
    cache("", ".cache/pip"),
    read("", ".cache/pre-commit"),
    read("", ".cache/puppeteer"),
    cache("", ".cache/pypoetry"),
    cache("", ".cache/yarn"),
    cache("", ".cache/zig"),
    read("", ".conda/envs"),
    read("CONDA_PREFIX", "miniconda3"),
    read("", "anaconda3"),
    read("", "mambaforge"),
    read("", "miniforge3"),
    read("DENO_INSTALL", ".deno"),
    cache("DENO_DIR", ".cache/deno"),
    read("DOTNET_ROOT", ".dotnet"),
    read("", ".elan"),
    read("FNM_DIR", ".local/share/fnm"),
    read("", ".fnm"),
    Known { variable: "", home: ".gem", read: &["ruby"], cache: &[] },
    read("GEM_HOME", ""),
    Known { variable: "", home: ".local/share/gem", read: &["ruby"], cache: &[] },
    read("", ".ghcup"),
    cache("GOCACHE", ".cache/go-build"),
    cache("GOMODCACHE", ""),
    Known { variable: "GOPATH", home: "go", read: &["bin"], cache: &["pkg"] },
    read("GOROOT", ""),
    read("", "sdk"),
    Known {
        variable: "GRADLE_USER_HOME",
        home: ".gradle",
        read: &[],
        cache: &["caches", "native", "wrapper"],
    },
    read("JAVA_HOME", ".jdks"),
    Known {
        variable: "",
        home: ".julia",
        read: &["juliaup"],
        cache: &["artifacts", "compiled", "packages", "registries"],
    },
    read("", ".juliaup"),
    read("", ".local/bin"),
    read("", ".local/lib"),
    read("", ".local/pipx"),
    read("", ".local/share/pipx"),
    read("", ".local/share/pypoetry"),
    read("", ".local/share/swiftly"),
    Known { variable: "", home: ".m2", read: &["wrapper"], cache: &["repository"] },
    read("MISE_DATA_DIR", ".local/share/mise"),
    read("", ".nodenv"),
    Known { variable: "npm_config_cache", home: ".npm", read: &[], cache: &["_cacache"] },
    cache("NUGET_PACKAGES", ".nuget/packages"),
    read("NVM_DIR", ".nvm"),
    read("", ".opam"),
    Known { variable: "PNPM_HOME", home: ".local/share/pnpm", read: &[""], cache: &["store"] },
    read("", ".proto"),
    cache("PUB_CACHE", ".pub-cache/hosted"),
    read("PYENV_ROOT", ".pyenv"),
    read("RBENV_ROOT", ".rbenv"),
    read("RUSTUP_HOME", ".rustup"),
    read("", ".rvm"),
    read("SDKMAN_DIR", ".sdkman"),
    read("UV_PYTHON_INSTALL_DIR", ".local/share/uv/python"),
    read("", ".local/share/uv/tools"),
    cache("UV_CACHE_DIR", ".cache/uv"),
    read("VIRTUAL_ENV", ""),
    read("VOLTA_HOME", ".volta"),
    Known { variable: "", home: ".yarn", read: &[], cache: &["berry/cache"] },
];

/// Settings of tools, shown if nothing in them looks like a secret.
const SETTINGS: [&str; 9] = [
    ".cargo/config",
    ".cargo/config.toml",
    ".config/git/ignore",
    ".config/mise/config.toml",
    ".config/pip/pip.conf",
    ".npmrc",
    ".pip/pip.conf",
    ".tool-versions",
    ".yarnrc",
];

/// What tools keep beside their programs for nobody else to see.
const CREDENTIALS: [&str; 5] =
    [".git", "auth.json", "credentials", "credentials.json", "credentials.toml"];

/// Words and marks by which a secret is known in a file of settings.
const SECRET: [&str; 6] = ["_auth", "password", "secret", "token", "apikey", "://"];

/// Adds the toolchains that this environment knows to a view of the repository at `common_dir`.
/// `is_kept` says whether what is added to caches is.
pub(super) fn add(view: &mut View, env: &[(OsString, OsString)], common_dir: &Path, is_kept: bool) {
    let value = |name: &str| {
        let found = env.iter().find(|(key, _)| key == name).map(|(_, value)| PathBuf::from(value));
        found.filter(|path| path.is_absolute())
    };
    let home = value("HOME");
    let whole = |path: &Path| fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // What is shown no more than others: a folder that a home or the checkout is in.
    let apart: Vec<_> = home.iter().map(PathBuf::as_path).chain([common_dir]).map(whole).collect();
    let is_more = |folder: &Path| {
        let folder = whole(folder);
        apart.iter().any(|inner| inner.starts_with(&folder))
    };
    for known in &KNOWN {
        let named = Some(known.variable).filter(|name| !name.is_empty()).and_then(value);
        let usual = home.as_ref().filter(|_| !known.home.is_empty());
        let Some(base) = named.or_else(|| Some(usual?.join(known.home))) else { continue };
        if !base.exists() || is_more(&base) {
            continue;
        }
        for name in known.read {
            show(view, &inside(&base, name));
        }
        for name in known.cache {
            let folder = inside(&base, name);
            match is_kept && folder.is_dir() {
                true => view.overlay(&folder, &flat(&folder)),
                false => view.read(&folder),
            }
        }
    }
    let path = value_of_path(env);
    for folder in std::env::split_paths(&path).filter(|folder| folder.is_absolute()) {
        // A home or a checkout may be on the path too.
        let whole = Some(prefix(&folder, home.as_deref())).filter(|whole| !is_more(whole));
        if let Some(shown) = whole.or(Some(folder)).filter(|folder| !is_more(folder)) {
            show(view, &shown);
        }
    }
    for path in home.iter().flat_map(|home| SETTINGS.map(|name| home.join(name))) {
        if fs_err::read_to_string(&path).is_ok_and(|text| !looks_secret(&text)) {
            view.read(&path);
        }
    }
}

/// Shows a folder, but for what in it is nobody else's to see.
fn show(view: &mut View, folder: &Path) {
    view.read(folder);
    for name in CREDENTIALS {
        view.mask(&folder.join(name));
    }
}

fn value_of_path(env: &[(OsString, OsString)]) -> OsString {
    env.iter().find(|(key, _)| key == "PATH").map(|(_, path)| path.clone()).unwrap_or_default()
}

fn inside(base: &Path, name: &str) -> PathBuf {
    if name.is_empty() { base.to_owned() } else { base.join(name) }
}

/// What a folder of programs needs: where it is part of an installation, all of that.
fn prefix(folder: &Path, home: Option<&Path>) -> PathBuf {
    let whole = folder.parent().filter(|parent| {
        let is_bin = folder.file_name().is_some_and(|name| name == "bin");
        let is_above = home.is_some_and(|home| home.starts_with(parent));
        let is_local = home.is_some_and(|home| *parent == home.join(".local"));
        let has = |name: &str| parent.join(name).is_dir();
        is_bin && !is_above && !is_local && has("lib") && !has(".git")
    });
    whole.unwrap_or(folder).to_owned()
}

/// A path as one name.
fn flat(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches('/').replace(['/', ',', ':', '\\'], "_")
}

fn looks_secret(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.to_lowercase();
        SECRET.iter().any(|word| match *word {
            // An address with a user in it.
            "://" => line.split("://").skip(1).any(|rest| {
                rest.split(['/', '"', ' ']).next().is_some_and(|host| host.contains('@'))
            }),
            word => line.contains(word),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_caches_are_shown_and_what_lies_beside_them_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let home = fs_err::canonicalize(folder.path()).unwrap().join("home");
        for name in [
            ".cargo/bin",
            ".cargo/registry",
            ".rustup",
            ".ssh",
            ".local/bin",
            ".local/share/keyrings",
            "tools/node/bin",
            "tools/node/lib",
            "work/bin",
            "work/lib",
            "work/.git",
            ".local/share/uv/python",
            ".local/share/uv/credentials",
            "gems/credentials",
            "shop/.git",
        ] {
            fs_err::create_dir_all(home.join(name)).unwrap();
        }
        fs_err::write(home.join(".cargo/credentials.toml"), "token = 'x'").unwrap();
        fs_err::write(home.join(".npmrc"), "//host/:_authToken=x").unwrap();
        fs_err::write(home.join(".yarnrc"), "registry \"https://mirror/\"").unwrap();
        let path = ["tools/node/bin", "work/bin", "gone", "", "shop", ".."].map(|it| home.join(it));
        let env = [
            ("HOME".into(), home.clone().into()),
            ("GEM_HOME".into(), home.join("gems").into()),
            ("PATH".into(), std::env::join_paths(path).unwrap()),
        ];
        let mut view = View::default();
        add(&mut view, &env, &home.join("shop/.git"), true);
        let shown: Vec<_> = view
            .readable()
            .iter()
            .map(|path| path.strip_prefix(&home).unwrap().to_owned())
            .collect();
        let expected = [
            ".cargo/bin",
            ".cargo/registry",
            ".local/bin",
            ".local/share/uv/python",
            ".rustup",
            ".yarnrc",
            "gems",
            "tools/node",
            "work/bin",
        ];
        assert_eq!(shown, expected.map(PathBuf::from));
        assert_eq!(view.writable(), [home.join(".cargo/registry")]);
        assert_eq!(view.masked(), [home.join("gems/credentials")]);
    }
}
