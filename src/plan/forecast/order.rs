//! In which order sessions land with the fewest conflicts.
//!
//! Invariant: as many as possible come first that collide neither with their target nor with each
//! other; for more than a few that collide, as many as a simple rule finds.

use super::Pair;

/// Sessions that collide, beyond which the best order is not searched for.
const SEARCHED: usize = 32;

/// The ids, in the order that conflicts least; among equals as they are given.
pub(super) fn least(ids: &[String], pairs: &[Pair], targets: &[Pair]) -> Vec<String> {
    let at = |id: &str| ids.iter().position(|it| it == id);
    let mut enemies = vec![Vec::new(); ids.len()];
    for pair in pairs.iter().filter(|pair| pair.conflict.is_some()) {
        if let (Some(a), Some(b)) = (at(&pair.a), at(&pair.b)) {
            enemies[a].push(b);
            enemies[b].push(a);
        }
    }
    let is_blocked = |id: &String| targets.iter().any(|it| it.a == *id && it.conflict.is_some());
    let free: Vec<usize> = (0..ids.len()).filter(|at| !is_blocked(&ids[*at])).collect();
    let mut first = peaceful(&free, &enemies);
    first.sort_unstable();
    let mut rest: Vec<_> = (0..ids.len()).filter(|at| !first.contains(at)).collect();
    // Of the others, who stands in the way of fewest.
    rest.sort_by_key(|at| (is_blocked(&ids[*at]), enemies[*at].len(), *at));
    first.into_iter().chain(rest).map(|at| ids[at].clone()).collect()
}

/// As many as possible of whom no two collide.
fn peaceful(among: &[usize], enemies: &[Vec<usize>]) -> Vec<usize> {
    let degree = |at: usize| enemies[at].iter().filter(|enemy| among.contains(enemy)).count();
    let without = |gone: &dyn Fn(usize) -> bool| -> Vec<usize> {
        among.iter().copied().filter(|at| !gone(*at)).collect()
    };
    // One that collides with at most one other is always as good a choice as that one.
    if let Some(calm) = among.iter().copied().find(|at| degree(*at) <= 1) {
        let mut found =
            peaceful(&without(&|at| at == calm || enemies[calm].contains(&at)), enemies);
        found.push(calm);
        return found;
    }
    let Some(worst) = among.iter().copied().max_by_key(|at| degree(*at)) else {
        return Vec::new();
    };
    let leaving = peaceful(&without(&|at| at == worst), enemies);
    if among.len() > SEARCHED {
        return leaving;
    }
    let mut taking = peaceful(&without(&|at| at == worst || enemies[worst].contains(&at)), enemies);
    taking.push(worst);
    if taking.len() > leaving.len() { taking } else { leaving }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(ids: &str, pairs: &[&str], targets: &str) -> String {
        let pair = |a: char, b: &str| Pair {
            a: a.to_string(),
            b: b.to_owned(),
            conflict: Some(Vec::new()),
        };
        let ids: Vec<_> = ids.chars().map(String::from).collect();
        let pairs: Vec<_> =
            pairs.iter().map(|it| pair(it.chars().next().unwrap(), &it[1..])).collect();
        let targets: Vec<_> = targets.chars().map(|id| pair(id, "main")).collect();
        least(&ids, &pairs, &targets).concat()
    }

    #[test]
    fn who_collides_with_many_or_with_the_target_comes_last() {
        assert_eq!(order("abcd", &[], ""), "abcd");
        assert_eq!(order("abcd", &["ab", "ac", "ad"], ""), "bcda");
        assert_eq!(order("abcd", &[], "b"), "acdb");
        assert_eq!(order("abcd", &["ab"], "b"), "acdb");
        // A ring: two of four, whichever way round.
        assert_eq!(order("abcd", &["ab", "bc", "cd", "da"], "").len(), 4);
        // A triangle with a tail: the tail and one of the triangle.
        assert_eq!(order("abcd", &["ab", "bc", "ac", "cd"], ""), "adbc");
    }

    #[test]
    fn many_that_all_collide_are_still_ordered_at_once() {
        let ids: Vec<_> = (0..60).map(|n| format!("s{n}")).collect();
        let mut pairs = Vec::new();
        for (at, a) in ids.iter().enumerate() {
            for b in &ids[at + 1..] {
                let (a, b) = (a.clone(), b.clone());
                pairs.push(Pair { a, b, conflict: Some(Vec::new()) });
            }
        }
        let mut ordered = least(&ids, &pairs, &[]);
        ordered.sort();
        let mut sorted = ids;
        sorted.sort();
        assert_eq!(ordered, sorted);
    }
}
