//! Names that match a pattern: what consumer groups that subscribe by regular expression read.
//!
//! Patterns are RE2's syntax as Rust's `regex` crates have it, and match in time linear to the
//! name, whatever a client writes: there is no backtracking that could be made to hang.

use regex_automata::meta::Regex;
use regex_syntax::{
    ParserBuilder,
    hir::{Hir, Look},
};

use crate::error::{Code, Error, Result};

/// Characters of a pattern; Kafka's own bound is what a string holds.
const PATTERN_BYTES_MAX: usize = 4096;
/// Nesting of groups and repetitions.
const NEST_MAX: u32 = 50;
/// Memory of one compiled pattern, and of the search for it, in bytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// For each name whether the whole of it matches `pattern`, in order.
///
/// # Errors
/// [`Code::InvalidRegularExpression`] for a pattern that is none, or too large.
pub fn matching<'n>(pattern: &str, names: impl IntoIterator<Item = &'n str>) -> Result<Vec<bool>> {
    let regex = compile(pattern)?;
    Ok(names.into_iter().map(|name| regex.is_match(name)).collect())
}

fn compile(pattern: &str) -> Result<Regex> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(invalid(format!("more than {PATTERN_BYTES_MAX} bytes")));
    }
    let parsed = ParserBuilder::new()
        .nest_limit(NEST_MAX)
        .build()
        .parse(pattern)
        .map_err(|error| invalid(error.to_string()))?;
    // Not by putting anchors around the text: a comment in it could swallow them.
    let whole = Hir::concat(vec![Hir::look(Look::Start), parsed, Hir::look(Look::End)]);
    let config = Regex::config()
        .nfa_size_limit(Some(COMPILED_BYTES_MAX))
        .hybrid_cache_capacity(COMPILED_BYTES_MAX);
    Regex::builder()
        .configure(config)
        .build_from_hir(&whole)
        .map_err(|error| invalid(error.to_string()))
}

fn invalid(detail: String) -> Error {
    Error::new(Code::InvalidRegularExpression, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(pattern: &str, names: &[&str]) -> Vec<bool> {
        matching(pattern, names.iter().copied()).unwrap()
    }

    #[test]
    fn a_name_matches_as_a_whole() {
        assert_eq!(matched("a|ab", &["a", "ab", "abc", "xa"]), [true, true, false, false]);
        assert!(!matched("orders-.*", &["orders-1", "orders-", "my-orders-1"])[2]);
        assert_eq!(matched("", &["", "a"]), [true, false]);
        // A comment does not take the end of the pattern with it.
        assert_eq!(matched("(?x) a # or b", &["a", "ab"]), [true, false]);
        assert_eq!(matched(r"\d+[[:alpha:]]\pL", &["12ab", "ab"]), [true, false]);
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        for pattern in ["(", "a{2,1}", "[z-a]", r"\", "(?<=a)b", r"(a)\1", "*"] {
            let error = matching(pattern, []).unwrap_err();
            assert_eq!(error.code(), Code::InvalidRegularExpression, "{pattern}");
            assert!(!error.detail().is_empty());
        }
    }

    #[test]
    fn no_pattern_costs_much_memory_or_time() {
        let nested = format!("{}a{}", "(".repeat(60), ")".repeat(60));
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        for pattern in ["((a{100}){100}){100}", &nested, &long] {
            assert_eq!(
                matching(pattern, []).unwrap_err().code(),
                Code::InvalidRegularExpression,
                "{}",
                &pattern[..20]
            );
        }
        // Exponential where it is matched by backtracking.
        let name = format!("{}!", "a".repeat(200));
        assert_eq!(matched("(a*)*b|(a|a)*c", &[&name]), [false]);
    }
}
