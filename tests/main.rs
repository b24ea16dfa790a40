//! The one test binary: the built program in real repositories, in a temporary home.
//!
//! Invariant: nothing of the developer's own machine (configuration, keys, home) is read.

#[cfg(test)]
mod commands;
#[cfg(test)]
mod escape;
#[cfg(test)]
mod fault;
#[cfg(test)]
mod flow;
#[cfg(test)]
mod format;
#[cfg(test)]
mod guard;
#[cfg(test)]
mod support;
