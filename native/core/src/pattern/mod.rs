//! Which names a regular expression matches: subscriptions of consumer groups by pattern.
//!
//! The syntax is RE2's, as Kafka has it (KIP-848), and nothing backtracks. Patterns are those of
//! clients, and matched on the event loop: how long they are, how deep they nest, what they are
//! made of and compile to, and how many steps matching takes is bounded, each by a limit.

mod classes;
mod matching;
mod parse;

use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_syntax::hir::Hir;

pub use matching::Matching;

use crate::{
    error::{Code, Error, Result},
    limits,
};

/// Ends each of the names that [`match_names`] is given.
const NAME_END: char = '\n';

/// A regular expression that names as a whole may match.
#[derive(Debug)]
pub struct NamePattern {
    program: NFA,
}

impl NamePattern {
    /// Compiles a pattern of RE2's syntax.
    ///
    /// # Errors
    /// [`Code::InvalidRegularExpression`]: it is not RE2's syntax, or over one of
    /// [`PATTERN_BYTES_MAX`](limits::PATTERN_BYTES_MAX),
    /// [`PATTERN_NESTING_MAX`](limits::PATTERN_NESTING_MAX),
    /// [`PATTERN_RANGES_MAX`](limits::PATTERN_RANGES_MAX) and
    /// [`PATTERN_COMPILED_BYTES_MAX`](limits::PATTERN_COMPILED_BYTES_MAX).
    pub fn new(pattern: &str) -> Result<Self> {
        let bytes = pattern.len() as u64;
        if bytes > limits::PATTERN_BYTES_MAX {
            let bytes_max = limits::PATTERN_BYTES_MAX;
            return Err(refused(format!("{bytes} bytes, a pattern has at most {bytes_max}")));
        }
        let program = compile(&parse::parse(pattern)?)?;
        Ok(Self { program })
    }

    /// Goes on to match names.
    pub fn matching(&self) -> Matching<'_> {
        Matching::new(&self.program)
    }
}

fn compile(parsed: &Hir) -> Result<NFA> {
    let bytes_max = usize::try_from(limits::PATTERN_COMPILED_BYTES_MAX).ok();
    let config = thompson::Config::new()
        .nfa_size_limit(bytes_max)
        // Only whether it matches is asked for.
        .which_captures(WhichCaptures::None);
    let program = NFA::compiler().configure(config).build_from_hir(parsed);
    program.map_err(|error| match error.size_limit() {
        Some(bytes) => refused(format!("it compiles to more than {bytes} bytes")),
        None => refused(error.to_string()),
    })
}

/// Which of `name_count` names match `pattern`, as indexes in rising order. In `names` each name
/// is followed by a line feed.
///
/// # Errors
/// Those of [`NamePattern::new`] and [`Matching::matches`]; [`Code::InvalidArgument`] when there
/// are not that many names.
pub fn match_names(pattern: &str, names: &str, name_count: u32) -> Result<Vec<u32>> {
    let pattern = NamePattern::new(pattern)?;
    let found = names.matches(NAME_END).count();
    if u32::try_from(found) != Ok(name_count) {
        let detail = format!("{found} names end with a line feed, not {name_count}");
        return Err(Error::new(Code::InvalidArgument, detail));
    }
    let mut matching = pattern.matching();
    let mut indexes = Vec::new();
    for (index, name) in (0..).zip(names.split_terminator(NAME_END)) {
        if matching.matches(name)? {
            indexes.push(index);
        }
    }
    Ok(indexes)
}

fn refused(detail: String) -> Error {
    Error::new(Code::InvalidRegularExpression, detail)
}

#[cfg(test)]
mod tests;
