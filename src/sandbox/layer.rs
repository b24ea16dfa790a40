//! The layers of the sandbox, each by its name.
//!
//! Invariant: in a release build all of them stand, always; a test of a debug build may take one
//! away, to show that what it holds is not held by chance.

use serde::{Deserialize, Serialize};

/// The variable that names layers to leave out, with commas between; for tests.
pub const WITHOUT: &str = "GIT_AGENT_WITHOUT_LAYER";

/// What keeps a tool in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// The tool sees a file system of its own.
    View,
    /// It has a network of its own, and nothing on it.
    Network,
    /// It sees no process but those of its call.
    Processes,
    /// It may open only what Landlock lists.
    Landlock,
    /// It has no capability.
    Capabilities,
    /// It may not make the system calls that are refused.
    Seccomp,
    /// It may not make further user namespaces.
    Namespaces,
    /// Its files, dumps and processes are limited.
    Limits,
    /// `.git` is its own.
    Shadow,
}

/// Which layers stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layers {
    without: Vec<Layer>,
}

impl Layers {
    /// All but these, in a debug build.
    pub fn without(layers: &[Layer]) -> Self {
        Self { without: layers.to_vec() }
    }

    /// All, but for those that the environment of a debug build leaves out.
    pub fn of_environment() -> Self {
        let named = std::env::var(WITHOUT).ok().filter(|_| cfg!(debug_assertions));
        let named = named.unwrap_or_default();
        let layer = |name: &str| serde_json::from_value(name.trim().into()).ok();
        Self { without: named.split(',').filter_map(layer).collect() }
    }

    /// Whether this one stands.
    pub fn has(&self, layer: Layer) -> bool {
        !(cfg!(debug_assertions) && self.without.contains(&layer))
    }
}
