//! The same work on many small things, by several threads.
//!
//! Invariant: what comes of it is in the order of the things, whichever thread did the work.

use std::panic::resume_unwind;
use std::thread;

/// A thread is not worth its start for fewer things than these.
const SHARE: usize = 64;
/// More threads than these only wait for each other.
const MOST: usize = 8;

/// What the work makes of each of these things.
pub fn map<T: Sync, R: Send>(things: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let worth = things.len().div_ceil(SHARE).min(MOST);
    if worth <= 1 {
        return things.iter().map(work).collect();
    }
    let threads = thread::available_parallelism().map_or(1, usize::from).min(worth);
    let mut shares = things.chunks(things.len().div_ceil(threads));
    let own = shares.next().unwrap_or_default();
    let work = &work;
    thread::scope(|scope| {
        let others = shares.map(|share| scope.spawn(|| share.iter().map(work).collect::<Vec<_>>()));
        let others: Vec<_> = others.collect();
        let mut made: Vec<R> = own.iter().map(work).collect();
        for other in others {
            match other.join() {
                Ok(more) => made.extend(more),
                Err(panic) => resume_unwind(panic),
            }
        }
        made
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_things_keeps_its_order() {
        for count in [0, 1, 64, 65, 1_000, 1_001] {
            let things: Vec<usize> = (0..count).collect();
            let wanted: Vec<usize> = things.iter().map(|thing| thing * 2).collect();
            assert_eq!(map(&things, |thing| thing * 2), wanted);
        }
    }
}
