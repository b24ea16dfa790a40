//! The gates of a session, measured by its supervisor on the committed tree.
//!
//! Invariant: they run where the agent's commands run; what they are compared with is the base that
//! the session was started from.

use super::fault;
use super::world::SessionWorld;
use crate::agent::Fault;
use crate::event::{GateKind, VerifyRecord};
use crate::git::Repo;
use crate::land::gates::{self, Baseline, Ground};
use crate::measure::coverage::Watch;

impl SessionWorld<'_> {
    /// What the gates say of this tree, up to the first that stays shut.
    pub(super) async fn measure(
        &mut self,
        tree: &str,
        watch: Option<&Watch>,
    ) -> Result<Vec<VerifyRecord>, Fault> {
        let spec = &self.session.spec;
        if spec.gates.is_open() {
            return Ok(Vec::new());
        }
        "measuring".clone_into(&mut self.state.activity);
        self.show_state();
        let repo = Repo::open(self.checkpoints.repo().common_dir()).map_err(fault)?;
        let program = std::env::current_exe().map_err(fault)?;
        let beside = spec.worktree.parent().map_or_else(std::env::temp_dir, Into::into);
        let ground = Ground { tools: self.tools, watch, tree };
        let baseline = Baseline {
            commit: repo.resolve_commit(&spec.base.commit).map_err(fault)?,
            repo: &repo,
            spec,
            program: Some(&program),
            folder: &beside,
        };
        // The base does not change: it is measured once.
        let known = self.state.gates.iter().filter_map(|record| record.gate);
        let known = known.into_iter().find(|gate| gate.kind == GateKind::Coverage);
        let known = known.and_then(|gate| gate.before);
        gates::measure(&ground, &baseline, known).await.map_err(fault)
    }
}
