//! What tests stand on: a home, a repository in it, the built program, and a model to talk to.
//!
//! ```ignore
//! let repo = Repo::new();                                  // a small project with two commits
//! let server = Server::start(Script::new([
//!     Turn::call("bash", json!({"command": "echo hi > new.txt"})),
//!     Turn::call("finish", json!({"summary": "Said hi."})).fault(Fault::Status(529), 2),
//! ]));
//! let dialect = Dialect::Anthropic;                        // or each of Dialect::ALL
//! let out = repo
//!     .cmd(&["start", "say hi", "--model", dialect.model()])
//!     .envs(server.env(dialect))
//!     .run();
//! assert_eq!(repo.normal(&out), Out::ok("Started say-hi-[id] …\n"));
//! repo.wait_state("say-hi", "done", Duration::from_secs(10));
//! assert_eq!(server.served(), [0, 1, 1, 1]);
//! server.finish();                                         // no rule was broken
//! repo.assert_whole();                                     // fsck, main checkout, no lock left
//! ```
//!
//! | file | what |
//! |---|---|
//! | `home.rs` | [`home::Home`]: a temporary home with git's identity and nothing else; no process outlives it |
//! | `cmd.rs` | [`cmd::Cmd`]: a program run there; [`cmd::Out`]: all that it said |
//! | `repo.rs` | [`repo::Repo`]: a real repository in one of many [`repo::Shape`]s; runs the built program |
//! | `forge/` | [`forge::Forge`]: a forge, strict by its own description: GitHub, GitLab, Forgejo |
//! | `remote.rs` | [`remote::Http`], [`remote::Ssh`]: servers that git pushes to |
//! | `normal.rs` | output without what differs from run to run |
//! | `server/` | [`server::Server`]: the model, scripted, strict, and faulty on demand |
//!
//! Invariant: nothing here tests the product; it only makes it testable, and has tests itself.

#![expect(unreachable_pub, reason = "`pub` is what tests use")]

pub mod cmd;
#[cfg(feature = "otel")]
pub mod collector;
pub mod forge;
pub mod home;
mod normal;
pub mod remote;
pub mod repo;
pub mod server;
