//! A loose object that was read by somebody else, as its bytes.
//!
//! Invariant: it is small and a commit, or it is nothing; its id is not looked at.

/// The commit in these bytes of a loose object, header and message; none if it is anything else, or
/// longer than the bytes can be at most.
pub fn loose_commit(bytes: &[u8], longest: usize) -> Option<String> {
    let mut content = vec![0; longest];
    let (_, _, length) = gix::zlib::Inflate::default().once(bytes, &mut content).ok()?;
    content.truncate(length);
    let start = content.iter().position(|byte| *byte == 0)?;
    content.starts_with(b"commit ").then_some(())?;
    Some(String::from_utf8_lossy(&content[start + 1..]).into_owned())
}
