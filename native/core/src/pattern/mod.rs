//! Which names a regular expression matches: subscriptions of consumer groups by pattern.
//!
//! The syntax is RE2's, as Kafka has it (KIP-848); the engine never backtracks, so that matching a
//! name takes time in proportion to it, whatever the pattern. Patterns are those of clients: how
//! long they are, how deep they nest and what they compile to is bounded.

mod classes;
mod parse;

use regex_automata::{
    Anchored, Input,
    hybrid::dfa::{Cache, Config, DFA},
    nfa::thompson::{self, NFA, WhichCaptures, pikevm, pikevm::PikeVM},
};
use regex_syntax::hir::Hir;

use crate::{
    error::{Code, Error, Result},
    limits,
};

/// Ends each of the names that [`match_names`] is given.
const NAME_END: char = '\n';
/// Memory for the states of a pattern that are made while names are matched.
const STATES_BYTES_MAX: usize = 2 << 20;
/// How often that may fill up before it is asked whether making states is worth its time.
const STATES_FILLED_MAX: usize = 1;
/// Making a state takes a step for each state of the program; on average it must serve so many
/// bytes of names that a byte takes at most this many steps.
const STEPS_PER_BYTE_MAX: usize = 50;

/// A regular expression that names as a whole may match.
#[derive(Debug)]
pub struct NamePattern {
    /// Matches with states that are made when they are needed: a step a byte, unless there are too
    /// many of them.
    with_states: DFA,
    /// Matches in up to as many steps a byte as the program has states.
    by_program: PikeVM,
}

impl NamePattern {
    /// Compiles a pattern of RE2's syntax.
    ///
    /// # Errors
    /// [`Code::InvalidRegularExpression`]: it is not RE2's syntax, or over one of
    /// [`PATTERN_BYTES_MAX`](limits::PATTERN_BYTES_MAX),
    /// [`PATTERN_NESTING_MAX`](limits::PATTERN_NESTING_MAX) and
    /// [`PATTERN_COMPILED_BYTES_MAX`](limits::PATTERN_COMPILED_BYTES_MAX).
    pub fn new(pattern: &str) -> Result<Self> {
        let bytes = pattern.len() as u64;
        if bytes > limits::PATTERN_BYTES_MAX {
            let bytes_max = limits::PATTERN_BYTES_MAX;
            return Err(refused(format!("{bytes} bytes, a pattern has at most {bytes_max}")));
        }
        let program = compile(&parse::whole(pattern)?)?;
        let bytes_per_state_min = (program.states().len() / STEPS_PER_BYTE_MAX).max(10);
        let config = Config::new()
            .cache_capacity(STATES_BYTES_MAX)
            .minimum_cache_clear_count(Some(STATES_FILLED_MAX))
            .minimum_bytes_per_state(Some(bytes_per_state_min));
        let with_states = DFA::builder().configure(config).build_from_nfa(program.clone());
        let by_program = PikeVM::new_from_nfa(program);
        Ok(Self {
            with_states: with_states.map_err(|error| refused(error.to_string()))?,
            by_program: by_program.map_err(|error| refused(error.to_string()))?,
        })
    }

    /// Goes on to match names.
    pub fn matching(&self) -> Matching<'_> {
        Matching {
            pattern: self,
            states: self.with_states.create_cache(),
            threads: None,
            steps_left: limits::PATTERN_STEPS_MAX,
        }
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

/// A pattern at work on names, with the memory for it.
pub struct Matching<'p> {
    pattern: &'p NamePattern,
    states: Cache,
    threads: Option<pikevm::Cache>,
    /// For names that are matched by the program.
    steps_left: u64,
}

impl Matching<'_> {
    /// Whether `name` as a whole matches.
    ///
    /// # Errors
    /// [`Code::InvalidRegularExpression`]: this and the names before it take more steps than
    /// [`PATTERN_STEPS_MAX`](limits::PATTERN_STEPS_MAX).
    pub fn matches(&mut self, name: &str) -> Result<bool> {
        let NamePattern { with_states, by_program } = self.pattern;
        let input = Input::new(name).anchored(Anchored::Yes).earliest(true);
        if let Ok(found) = with_states.try_search_fwd(&mut self.states, &input) {
            return Ok(found.is_some());
        }
        let program_states = by_program.get_nfa().states().len() as u64;
        let steps = program_states.saturating_mul(name.len() as u64);
        let Some(steps_left) = self.steps_left.checked_sub(steps) else {
            return Err(refused("it takes too many steps to match names".to_owned()));
        };
        self.steps_left = steps_left;
        let threads = self.threads.get_or_insert_with(|| by_program.create_cache());
        Ok(by_program.is_match(threads, input))
    }
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
