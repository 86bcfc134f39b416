//! Matching names, with every step counted.
//!
//! Where a name has come to in a pattern is a set of places in its program; each such set is a
//! state, and which state follows which by what byte is found out when it is first needed and then
//! kept: an automaton that is made while it is used. A byte costs one look into a table, and
//! making a state costs steps by the size of the program: those are what is bounded.

use std::{mem, rc::Rc};

use hashbrown::HashMap;
use regex_automata::{
    nfa::thompson::{self, NFA},
    util::{alphabet::ByteClasses, look::Look, primitives::StateID},
};

use super::refused;
use crate::{error::Result, limits};

/// Memory for states, in bytes; where it is full all are forgotten.
const STATES_BYTES_MAX: usize = 1 << 20;
/// What a state holds beside its places and its row of the table, about.
const STATE_BYTES: usize = 128;
/// Steps that a way from one state to the next takes beside those by the size of either.
const WAY_STEPS: u64 = 32;

/// Where the row of the state begins that a byte or the end of a name leads to; or one of those
/// below.
type Way = u32;
/// It was not needed yet.
const UNKNOWN: Way = Way::MAX;
/// Nothing that follows makes the name match.
const DEAD: Way = Way::MAX - 1;
/// The name matches.
const MATCHES: Way = Way::MAX - 2;
/// From here on a way is one of those, and no state.
const NO_STATE_MIN: Way = MATCHES;

/// The character before a place in a name, as far as `^` and `\b` look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Before {
    Nothing,
    LineFeed,
    Word,
    Other,
}

impl Before {
    fn of(byte: u8) -> Self {
        match byte {
            b'\n' => Self::LineFeed,
            b'_' => Self::Word,
            byte if byte.is_ascii_alphanumeric() => Self::Word,
            _ => Self::Other,
        }
    }
}

/// Where names may have come to.
#[derive(PartialEq, Eq, Hash)]
struct State {
    /// In the program, in rising order; what can be reached from them without a byte is left out.
    places: Box<[StateID]>,
    before: Before,
}

/// A pattern at work on names, with the memory for it.
pub struct Matching<'p> {
    program: &'p NFA,
    classes: &'p ByteClasses,
    looks: bool,
    /// A row a state: a way for each class of bytes, and the last for the end of a name.
    ways: Vec<Way>,
    states: Vec<Rc<State>>,
    rows: HashMap<Rc<State>, Way>,
    states_bytes: usize,
    reach: Reach,
    steps_left: u64,
}

/// What is reached from some places without a byte.
#[derive(Default)]
struct Reach {
    /// Places that take a byte.
    takes_byte: Vec<StateID>,
    /// Whether the end of the program is among the others.
    is_end: bool,
    pending: Vec<StateID>,
    /// By place: the round in which it was reached last.
    seen: Vec<u32>,
    round: u32,
}

impl<'p> Matching<'p> {
    pub(super) fn new(program: &'p NFA) -> Self {
        Self {
            program,
            classes: program.byte_classes(),
            looks: !program.look_set_any().is_empty(),
            ways: Vec::new(),
            states: Vec::new(),
            rows: HashMap::new(),
            states_bytes: 0,
            reach: Reach { seen: vec![0; program.states().len()], ..Reach::default() },
            steps_left: limits::PATTERN_STEPS_MAX,
        }
    }

    /// Whether `name` as a whole matches.
    ///
    /// # Errors
    /// [`Code::InvalidRegularExpression`](crate::error::Code::InvalidRegularExpression): this and
    /// the names before it take more steps than [`PATTERN_STEPS_MAX`](limits::PATTERN_STEPS_MAX).
    pub fn matches(&mut self, name: &str) -> Result<bool> {
        let mut state = self.start()?;
        let mut rest = name.as_bytes();
        while let Some((byte, behind)) = self.follow(&mut state, rest) {
            let class = usize::from(self.classes.get(byte));
            state = match self.way(state, class) {
                UNKNOWN => self.find_way(state, class, byte)?,
                way => way,
            };
            if state == DEAD {
                return Ok(false);
            }
            rest = behind;
        }
        let end = self.stride() - 1;
        let way = match self.way(state, end) {
            UNKNOWN => self.find_end(state, end)?,
            way => way,
        };
        Ok(way == MATCHES)
    }

    /// Goes from `state` as far as the ways for `rest` are known and lead to states; returns the
    /// byte where that ends and what is behind it.
    fn follow<'n>(&self, state: &mut Way, rest: &'n [u8]) -> Option<(u8, &'n [u8])> {
        let (ways, classes) = (&*self.ways, self.classes);
        let mut here = *state;
        let mut bytes = rest.iter();
        while let Some(byte) = bytes.next() {
            let class = usize::from(classes.get(*byte));
            match ways.get(here as usize + class) {
                Some(way) if *way < NO_STATE_MIN => here = *way,
                _ => {
                    *state = here;
                    return Some((*byte, bytes.as_slice()));
                }
            }
        }
        *state = here;
        None
    }

    /// Ways of a state.
    fn stride(&self) -> usize {
        self.classes.alphabet_len()
    }

    fn way(&self, state: Way, class: usize) -> Way {
        self.ways.get(state as usize + class).copied().unwrap_or(UNKNOWN)
    }

    fn set_way(&mut self, state: Way, class: usize, way: Way) {
        if let Some(slot) = self.ways.get_mut(state as usize + class) {
            *slot = way;
        }
    }

    fn state(&self, row: Way) -> Option<Rc<State>> {
        self.states.get(row as usize / self.stride()).map(Rc::clone)
    }

    /// The state in which every name begins: the first that is made.
    fn start(&mut self) -> Result<Way> {
        if !self.states.is_empty() {
            return Ok(0);
        }
        let places = Box::from([self.program.start_anchored()]);
        self.row(State { places, before: self.before(Before::Nothing) })
    }

    fn before(&self, before: Before) -> Before {
        if self.looks { before } else { Before::Other }
    }

    fn find_way(&mut self, from: Way, class: usize, byte: u8) -> Result<Way> {
        let Some(state) = self.state(from) else {
            return Ok(DEAD);
        };
        let mut from = from;
        if self.states_bytes > STATES_BYTES_MAX {
            self.forget();
            // The first is where names begin.
            self.start()?;
            from = self.row_of(&state)?;
        }
        let steps = self.reach.run(self.program, &state, Some(byte));
        self.spend(steps)?;
        let mut places = Vec::new();
        for place in &self.reach.takes_byte {
            let next = match self.program.state(*place) {
                thompson::State::ByteRange { trans } if trans.matches_byte(byte) => {
                    Some(trans.next)
                }
                thompson::State::Sparse(ways) => ways.matches_byte(byte),
                thompson::State::Dense(ways) => ways.matches_byte(byte),
                _ => None,
            };
            places.extend(next);
        }
        places.sort_unstable();
        places.dedup();
        let way = if places.is_empty() {
            DEAD
        } else {
            let before = self.before(Before::of(byte));
            self.row(State { places: places.into(), before })?
        };
        self.set_way(from, class, way);
        Ok(way)
    }

    fn find_end(&mut self, from: Way, end: usize) -> Result<Way> {
        let Some(state) = self.state(from) else {
            return Ok(DEAD);
        };
        let steps = self.reach.run(self.program, &state, None);
        self.spend(steps)?;
        let way = if self.reach.is_end { MATCHES } else { DEAD };
        self.set_way(from, end, way);
        Ok(way)
    }

    fn row_of(&mut self, state: &Rc<State>) -> Result<Way> {
        match self.rows.get(state) {
            Some(row) => Ok(*row),
            None => self.add(Rc::clone(state)),
        }
    }

    fn row(&mut self, state: State) -> Result<Way> {
        match self.rows.get(&state) {
            Some(row) => Ok(*row),
            None => self.add(Rc::new(state)),
        }
    }

    fn add(&mut self, state: Rc<State>) -> Result<Way> {
        let stride = self.stride();
        self.spend((state.places.len() + stride / 4) as u64)?;
        // Memory for states is full long before their table has that many ways.
        let row = self.ways.len() as Way;
        self.states_bytes += STATE_BYTES + size_of_val(&*state.places) + stride * size_of::<Way>();
        self.ways.resize(self.ways.len() + stride, UNKNOWN);
        self.states.push(Rc::clone(&state));
        self.rows.insert(state, row);
        Ok(row)
    }

    fn forget(&mut self) {
        self.ways.clear();
        self.states.clear();
        self.rows.clear();
        self.states_bytes = 0;
    }

    fn spend(&mut self, steps: u64) -> Result<()> {
        let Some(steps_left) = self.steps_left.checked_sub(steps) else {
            return Err(refused("it takes too many steps to match names".to_owned()));
        };
        self.steps_left = steps_left;
        Ok(())
    }
}

impl Reach {
    /// Goes to all places that `state` reaches in front of the byte `next`, or of the end of the
    /// name. Returns the steps that it took.
    fn run(&mut self, program: &NFA, state: &State, next: Option<u8>) -> u64 {
        self.takes_byte.clear();
        self.is_end = false;
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.seen.fill(0);
            self.round = 1;
        }
        let mut pending = mem::take(&mut self.pending);
        pending.extend_from_slice(&state.places);
        let mut steps = WAY_STEPS + pending.len() as u64;
        while let Some(place) = pending.pop() {
            let Some(seen) = self.seen.get_mut(place.as_usize()) else {
                continue;
            };
            if mem::replace(seen, self.round) == self.round {
                continue;
            }
            let waiting = pending.len();
            match program.state(place) {
                thompson::State::ByteRange { .. } | thompson::State::Dense(_) => {
                    self.takes_byte.push(place);
                }
                thompson::State::Sparse(ways) => {
                    // They are gone through one by one.
                    steps += ways.transitions.len() as u64 / 4;
                    self.takes_byte.push(place);
                }
                thompson::State::Look { look, next: behind } => {
                    if holds(*look, state.before, next) {
                        pending.push(*behind);
                    }
                }
                thompson::State::Union { alternates } => pending.extend_from_slice(alternates),
                thompson::State::BinaryUnion { alt1, alt2 } => pending.extend([*alt1, *alt2]),
                thompson::State::Capture { next: behind, .. } => pending.push(*behind),
                thompson::State::Match { .. } => self.is_end = true,
                thompson::State::Fail => {}
            }
            steps += 1 + (pending.len() - waiting) as u64;
        }
        self.pending = pending;
        steps
    }
}

/// Whether a place between two characters is one that `look` asks for; of those only that the
/// parser knows.
fn holds(look: Look, before: Before, next: Option<u8>) -> bool {
    let is_edge = || (before == Before::Word) != (next.map(Before::of) == Some(Before::Word));
    match look {
        Look::Start => before == Before::Nothing,
        Look::End => next.is_none(),
        Look::StartLF => matches!(before, Before::Nothing | Before::LineFeed),
        Look::EndLF => matches!(next, None | Some(b'\n')),
        Look::WordAscii => is_edge(),
        Look::WordAsciiNegate => !is_edge(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::{NamePattern, tests::intricate_names};

    #[test]
    fn names_that_need_more_states_than_are_kept_are_matched_as_well() {
        let pattern = NamePattern::new("[a1]*a[a1]{15}").unwrap();
        let mut matching = pattern.matching();
        let (mut states_before, mut times_forgotten) = (0, 0);
        for name in intricate_names(40).lines() {
            let is_match = name.as_bytes()[249 - 16] == b'a';
            assert_eq!(matching.matches(name).unwrap(), is_match, "{name}");
            assert!(matching.states_bytes < STATES_BYTES_MAX + 1024);
            times_forgotten += u32::from(matching.states.len() < states_before);
            states_before = matching.states.len();
        }
        assert!(times_forgotten > 0);
    }
}
