//! What can go wrong around a session, and that it ends well all the same.
//!
//! Invariant: whatever was done to it, no work is lost and nothing is done twice in silence.

mod branch;
mod breakage;
mod crash;
mod disk;
mod doctor;
mod fallback;
mod gc;
mod kill;
mod long;
mod many;
mod model;
mod nonsense;
mod queue;
mod race;
mod steer;
mod time;
mod words;
