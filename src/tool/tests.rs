//! The tools together, on real files and processes.
use super::*;
