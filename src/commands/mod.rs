//! The verbs, one a file: what was typed, then a thin run.
//!
//! Invariant: only this layer knows hints.

pub mod bounds;
pub mod complete;
pub mod context;
pub mod control;
pub mod follow;
pub mod give;
pub mod given;
pub mod limits;
pub mod message;
pub mod question;
pub mod sandbox;
pub mod several;
pub mod view;
pub mod wish;

pub mod start;

pub mod list;
pub mod status;

pub mod log;

pub mod diff;

pub mod answer;
pub mod approve;
pub mod attach;
pub mod deny;
pub mod say;

pub mod pause;
pub mod reprioritize;
pub mod resume;
mod ring;
pub mod stop;

pub mod fork;
pub mod remove;
pub mod rewind;

pub mod export;
pub mod handoff;
pub mod import;

pub mod batch;
pub mod compare;
pub mod conflicts;
pub mod pr;
pub mod trust;
pub mod worktree;

pub mod audit;
pub mod blame;
pub mod check;
pub mod hook;
pub mod hooks;
pub mod stats;

pub mod demo;
pub mod diagnose;
pub mod doctor;
pub mod gc;
pub mod setup;

pub mod generate;
pub mod guard;
pub mod supervise;
