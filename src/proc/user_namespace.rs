//! Which users of the namespace outside the users of this one are (user_namespaces(7)).

use super::read;
use std::path::Path;

/// The map of this process.
const MAP: &str = "/proc/self/uid_map";

/// The map of the first namespace: each user is itself.
const IDENTITY: [Range; 1] = [Range {
    inside: 0,
    outside: 0,
    count: u32::MAX,
}];

/// Users that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    inside: u32,
    outside: u32,
    count: u32,
}

/// Whether users have other numbers outside of this namespace, as in `unshare -Ur` and in
/// containers without root. Where the kernel does not say, they have not.
pub fn is_in_user_namespace() -> bool {
    // In a namespace with an empty map, users have no numbers outside.
    map().is_some_and(|map| map != IDENTITY)
}

/// Whether a user has a number here.
pub fn is_mapped(user: u32) -> bool {
    map().is_none_or(|map| outside(&map, user).is_some())
}

/// The number that a user has outside, if any.
pub fn outside_user(user: u32) -> Option<u32> {
    outside(&map()?, user)
}

fn map() -> Option<Vec<Range>> {
    let text = read(Path::new(MAP)).ok()?;
    Some(parse(&String::from_utf8_lossy(&text)))
}

fn parse(text: &str) -> Vec<Range> {
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map(|word| word.parse().ok());
        Some(Range {
            inside: numbers.next()??,
            outside: numbers.next()??,
            count: numbers.next()??,
        })
    };
    text.lines().filter_map(range).collect()
}

fn outside(map: &[Range], user: u32) -> Option<u32> {
    map.iter().find_map(|range| {
        let at = user.checked_sub(range.inside)?;
        (at < range.count).then(|| range.outside.checked_add(at))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_the_numbers_of_the_map() {
        assert_eq!(parse("         0          0 4294967295\n"), IDENTITY);
        assert_eq!(outside(&IDENTITY, 1001), Some(1001));
        let map = parse("         0       1001          1\n         1     100000      65536\n");
        assert_eq!(outside(&map, 0), Some(1001));
        assert_eq!(outside(&map, 7), Some(100_006));
        assert_eq!(outside(&map, 65_537), None);
        assert_eq!(parse("no map\n"), []);
    }
}
