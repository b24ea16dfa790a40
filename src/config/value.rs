//! The values of settings: text as git hands it over, typed as git reads it.
//!
//! Invariant: what is not as its key asks for is refused with its origin.

use super::{ConfigError, Entry, KEYS};
use crate::pattern::{BadPattern, Patterns, Use};

pub(super) fn text(entry: &Entry) -> Result<String, ConfigError> {
    optional(entry).ok_or_else(|| bad(entry, "some text"))
}

/// An empty value takes back what a wider level has set.
pub(super) fn optional(entry: &Entry) -> Option<String> {
    Some(entry.value.clone()).filter(|value| !value.trim().is_empty())
}

pub(super) fn template(entry: &Entry) -> Result<String, ConfigError> {
    let template = text(entry)?;
    if template.contains("{name}") {
        Ok(template)
    } else {
        Err(bad(entry, "a path with {name} in it, so that each session has its own"))
    }
}

/// As git reads a boolean: a key without a value is true.
pub(super) fn boolean(entry: &Entry) -> Result<bool, ConfigError> {
    match entry.value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Ok(true),
        "false" | "no" | "off" | "" => Ok(false),
        number => match number.parse::<i64>() {
            Ok(number) => Ok(number != 0),
            Err(_) => Err(bad(entry, "true or false")),
        },
    }
}

/// As git reads a size: `k`, `m` and `g` multiply by powers of 1024.
pub(super) fn size(entry: &Entry) -> Result<u64, ConfigError> {
    let value = entry.value.trim();
    let (digits, shift) = match value.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&value[..at], 10),
        Some((at, 'm' | 'M')) => (&value[..at], 20),
        Some((at, 'g' | 'G')) => (&value[..at], 30),
        Some((at, 't' | 'T')) => (&value[..at], 40),
        _ => (value, 0),
    };
    let size = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    size.ok_or_else(|| bad(entry, "a size in bytes, such as 10m"))
}

pub(super) fn count(entry: &Entry) -> Result<u32, ConfigError> {
    let count = entry.value.trim().parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| bad(entry, "a number from 1"))
}

/// A size above nought; an empty value sets no limit.
pub(super) fn optional_size(entry: &Entry) -> Result<Option<u64>, ConfigError> {
    if optional(entry).is_none() {
        return Ok(None);
    }
    let size = Some(size(entry)?).filter(|size| *size > 0);
    size.map(Some).ok_or_else(|| bad(entry, "a size above 0, such as 4g"))
}

/// A number above nought; an empty value sets no limit.
pub(super) fn ceiling(entry: &Entry) -> Result<Option<f64>, ConfigError> {
    let Some(text) = optional(entry) else { return Ok(None) };
    let number = text.trim().parse::<f64>().ok();
    let number = number.filter(|number| number.is_finite() && *number > 0.0);
    number.map(Some).ok_or_else(|| bad(entry, "a number above 0, such as 1.5"))
}

/// As `nice` takes it, but for who may be nicer than usual alone.
pub(super) fn niceness(entry: &Entry) -> Result<u8, ConfigError> {
    let nice = entry.value.trim().parse().ok().filter(|nice| *nice <= 19);
    nice.ok_or_else(|| bad(entry, "a number from 0 to 19"))
}

pub(super) fn one_of<T: clap::ValueEnum>(entry: &Entry) -> Result<T, ConfigError> {
    let expected = || format!("one of {}", names::<T>());
    T::from_str(entry.value.trim(), true).map_err(|_| bad(entry, &expected()))
}

/// A pattern of paths.
pub(super) fn pattern(entry: &Entry) -> Result<String, ConfigError> {
    match Patterns::new(std::slice::from_ref(&entry.value), Use::Restrict) {
        Ok(_) => Ok(entry.value.clone()),
        Err(BadPattern { .. }) => {
            Err(bad(entry, "a path from the root of the repository, such as docs/** or **/*.pem"))
        }
    }
}

/// Several names, parted by commas or blanks; `none`, and no name at all, give an empty list.
pub(super) fn list_of<T: clap::ValueEnum>(entry: &Entry) -> Result<Vec<T>, ConfigError> {
    let words = entry.value.split([',', ' ', '\t']).filter(|word| !word.is_empty());
    let words: Vec<_> = words.collect();
    if matches!(words.as_slice(), [only] if only.eq_ignore_ascii_case("none")) {
        return Ok(Vec::new());
    }
    let named = words.into_iter().map(|word| T::from_str(word, true));
    let expected = || format!("none, or some of {}", names::<T>());
    named.collect::<Result<_, _>>().map_err(|_| bad(entry, &expected()))
}

fn names<T: clap::ValueEnum>() -> String {
    let names = T::value_variants().iter().filter_map(T::to_possible_value);
    names.map(|name| name.get_name().to_owned()).collect::<Vec<_>>().join(", ")
}

pub(super) fn bad(entry: &Entry, expected: &str) -> ConfigError {
    let Entry { key, value, origin } = entry.clone();
    // git hands keys over in lower case; people know them as they are documented.
    let known = KEYS.iter().map(|known| known.name).find(|name| name.eq_ignore_ascii_case(&key));
    let key = known.map_or(key, str::to_owned);
    ConfigError { key, value, origin, expected: expected.to_owned() }
}

/// The known key whose name is nearest to this one, if it is near at all.
pub(super) fn near(key: &str) -> Option<String> {
    let provider = key.split_once('.')?.1.rsplit_once('.').map(|(provider, _)| provider);
    let names = KEYS.iter().map(|known| match provider {
        Some(provider) => known.name.replace("<provider>", provider),
        None => known.name.to_owned(),
    });
    let distance = |name: &str| {
        strsim::damerau_levenshtein(&name.to_ascii_lowercase(), &key.to_ascii_lowercase())
    };
    let best = names.map(|name| (distance(&name), name)).min()?;
    (best.0 <= 3).then_some(best.1)
}
