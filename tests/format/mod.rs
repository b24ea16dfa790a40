//! What earlier programs wrote must open for ever.
//!
//! Invariant: the files in a `v…/` folder are as a program of that format wrote them and are never
//! changed; only `@ROOT@` stands for the folder that the worktree was in.

mod v1;
