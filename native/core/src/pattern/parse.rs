//! RE2's syntax, made into the tree that `regex-automata` compiles.
//!
//! RE2's and Rust's syntax look alike and differ in what one of them refuses (`(?x)`, `a**`,
//! `\Qa.b\E`) or takes for something else (`[a&&b]`, `\<`, `a{,5}`): a pattern must mean here what
//! it means to Kafka. Which match of several is found does not matter, so that greediness and
//! captures are read and forgotten.

use std::mem;

use hashbrown::HashSet;
use regex_syntax::hir::{Class, Dot, Hir, Look, Repetition};

use super::{
    classes::{Case, CharacterSet, CodePoint, NamedSets, perl, posix},
    refused,
};
use crate::{error::Result, limits};

/// The largest count of `{...}`.
const REPEAT_MAX: u32 = 1000;
/// Characters of a pattern that an error repeats.
const QUOTED_CHARACTERS_MAX: usize = 100;

const BAD_CLASS: &str = "invalid character class range";
const BAD_ESCAPE: &str = "invalid escape sequence";
const BAD_FLAGS: &str = "invalid or unsupported Perl syntax";
const BAD_NAME: &str = "invalid named capture";
const BAD_REPEAT: &str = "invalid repeat count";
const DUPLICATE_NAME: &str = "duplicate capture group name";
const MISSING_ARGUMENT: &str = "missing argument to repetition operator";
const MISSING_BRACKET: &str = "missing closing ]";
const MISSING_PARENTHESIS: &str = "missing closing )";
const NESTED_REPEAT: &str = "invalid nested repetition operator";
const TRAILING_BACKSLASH: &str = "trailing backslash at end of expression";
const UNEXPECTED_PARENTHESIS: &str = "unexpected )";

/// The tree of a pattern.
pub(super) fn parse(pattern: &str) -> Result<Hir> {
    let mut parser = Parser {
        pattern,
        position: 0,
        flags: Flags::default(),
        group: Group::default(),
        outer: Vec::new(),
        names: HashSet::new(),
        sets: NamedSets::default(),
        ranges_left: limits::PATTERN_RANGES_MAX,
    };
    parser.run()
}

/// What `(?ims)` set.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    ignores_case: bool,
    is_multi_line: bool,
    dot_takes_line_feed: bool,
}

impl Flags {
    fn case(self) -> Case {
        if self.ignores_case { Case::Ignored } else { Case::Counts }
    }
}

/// A group, or the whole pattern, that is being read.
#[derive(Default)]
struct Group {
    /// Its alternatives before the last `|`.
    alternatives: Vec<Hir>,
    /// What follows that.
    terms: Vec<Hir>,
    /// In force again behind it.
    flags_outside: Flags,
}

impl Group {
    fn end_alternative(&mut self) {
        let terms = mem::take(&mut self.terms);
        self.alternatives.push(Hir::concat(terms));
    }
}

struct Parser<'p> {
    pattern: &'p str,
    /// Of the next character, in bytes.
    position: usize,
    flags: Flags,
    group: Group,
    outer: Vec<Group>,
    names: HashSet<&'p str>,
    sets: NamedSets,
    /// How many ranges of characters its sets may still be made of.
    ranges_left: u64,
}

impl<'p> Parser<'p> {
    fn run(&mut self) -> Result<Hir> {
        // Where the repetition began that ends right before the next character.
        let mut repeated_from = None;
        while let Some(character) = self.next() {
            let from = self.position - character.len_utf8();
            let counts = match character {
                '*' => Some((0, None)),
                '+' => Some((1, None)),
                '?' => Some((0, Some(1))),
                '{' => self.counts(from)?,
                _ => None,
            };
            if let Some(counts) = counts {
                self.repeat(counts, from, repeated_from)?;
                repeated_from = Some(from);
            } else {
                self.other_than_repetition(character, from)?;
                // RE2/J refuses to repeat a `{` even where it is a character like others.
                repeated_from = (character == '{').then_some(from);
            }
        }
        if !self.outer.is_empty() {
            return Err(self.fault(MISSING_PARENTHESIS, 0));
        }
        self.group.end_alternative();
        Ok(Hir::alternation(mem::take(&mut self.group.alternatives)))
    }

    fn other_than_repetition(&mut self, character: char, from: usize) -> Result<()> {
        match character {
            '(' if self.take("?") => return self.open_special(from),
            '(' => return self.open(from, self.flags),
            ')' => return self.close(from),
            '|' => self.group.end_alternative(),
            '^' if self.flags.is_multi_line => self.push(Hir::look(Look::StartLF)),
            '^' => self.push(Hir::look(Look::Start)),
            '$' if self.flags.is_multi_line => self.push(Hir::look(Look::EndLF)),
            '$' => self.push(Hir::look(Look::End)),
            '.' if self.flags.dot_takes_line_feed => self.push(Hir::dot(Dot::AnyChar)),
            '.' => self.push(Hir::dot(Dot::AnyCharExceptLF)),
            '[' => return self.class(from),
            '\\' => return self.escaped(from),
            literal => self.push_literal(literal.into()),
        }
        Ok(())
    }

    fn open(&mut self, from: usize, flags_outside: Flags) -> Result<()> {
        if self.outer.len() as u64 >= limits::PATTERN_NESTING_MAX {
            let what = format!("groups nested deeper than {}", limits::PATTERN_NESTING_MAX);
            return Err(self.fault(&what, from));
        }
        let group = Group { flags_outside, ..Group::default() };
        self.outer.push(mem::replace(&mut self.group, group));
        Ok(())
    }

    fn close(&mut self, from: usize) -> Result<()> {
        let Some(outer) = self.outer.pop() else {
            return Err(self.fault(UNEXPECTED_PARENTHESIS, from));
        };
        let mut group = mem::replace(&mut self.group, outer);
        group.end_alternative();
        self.flags = group.flags_outside;
        self.push(Hir::alternation(group.alternatives));
        Ok(())
    }

    /// What begins with `(?`: a name, flags, or a group without a number.
    fn open_special(&mut self, from: usize) -> Result<()> {
        if self.take("P<") || self.take("<") {
            let name_from = self.position;
            let Some(name) = self.until('>') else {
                self.position = self.pattern.len();
                return Err(self.fault(BAD_NAME, from));
            };
            let is_valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(is_valid) {
                return Err(self.fault(BAD_NAME, from));
            }
            if !self.names.insert(name) {
                self.position = name_from + name.len();
                return Err(self.fault(DUPLICATE_NAME, name_from));
            }
            return self.open(from, self.flags);
        }
        let mut flags = self.flags;
        let (mut is_set, mut has_flag) = (true, false);
        while let Some(character) = self.next() {
            match character {
                'i' => flags.ignores_case = is_set,
                'm' => flags.is_multi_line = is_set,
                's' => flags.dot_takes_line_feed = is_set,
                // Swaps greedy and not greedy.
                'U' => {}
                '-' if is_set => is_set = false,
                ':' if is_set || has_flag => {
                    self.open(from, self.flags)?;
                    self.flags = flags;
                    return Ok(());
                }
                ')' if is_set || has_flag => {
                    self.flags = flags;
                    return Ok(());
                }
                _ => break,
            }
            has_flag = character != '-';
        }
        Err(self.fault(BAD_FLAGS, from))
    }

    /// The counts of a repetition behind its `{`, or `None` where that is a character like others.
    fn counts(&mut self, from: usize) -> Result<Option<(u32, Option<u32>)>> {
        let behind_brace = self.position;
        let Some((min, max)) = self.read_counts() else {
            self.position = behind_brace;
            return Ok(None);
        };
        let is_within = |count: u32| count <= REPEAT_MAX;
        if !is_within(min) || max.is_some_and(|max| !is_within(max) || max < min) {
            return Err(self.fault(BAD_REPEAT, from));
        }
        Ok(Some((min, max)))
    }

    fn read_counts(&mut self) -> Option<(u32, Option<u32>)> {
        let min = self.number()?;
        if !self.take(",") {
            return self.take("}").then_some((min, Some(min)));
        }
        if self.take("}") {
            return Some((min, None));
        }
        let max = self.number()?;
        self.take("}").then_some((min, Some(max)))
    }

    /// Digits without a leading zero; those of too large a number count as one over the bound.
    fn number(&mut self) -> Option<u32> {
        let rest = self.rest();
        let bytes = rest.bytes().take_while(u8::is_ascii_digit).count();
        let digits = rest.get(..bytes).filter(|digits| !digits.is_empty())?;
        if bytes > 1 && digits.starts_with('0') {
            return None;
        }
        self.position += bytes;
        Some(digits.parse().unwrap_or(REPEAT_MAX + 1))
    }

    fn repeat(
        &mut self,
        (min, max): (u32, Option<u32>),
        from: usize,
        repeated_from: Option<usize>,
    ) -> Result<()> {
        // Not greedy.
        self.take("?");
        if let Some(repeated_from) = repeated_from {
            return Err(self.fault(NESTED_REPEAT, repeated_from));
        }
        let Some(sub) = self.group.terms.pop() else {
            return Err(self.fault(MISSING_ARGUMENT, from));
        };
        let repetition = Repetition { min, max, greedy: true, sub: Box::new(sub) };
        self.push(Hir::repetition(repetition));
        Ok(())
    }

    /// What begins with a backslash, outside a class.
    fn escaped(&mut self, from: usize) -> Result<()> {
        let letter = self.peek();
        let look = match letter {
            Some('A') => Some(Look::Start),
            Some('z') => Some(Look::End),
            Some('b') => Some(Look::WordAscii),
            Some('B') => Some(Look::WordAsciiNegate),
            _ => None,
        };
        if let Some(look) = look {
            self.next();
            self.push(Hir::look(look));
        } else if self.take("Q") {
            self.quoted();
        } else if let Some(class) = self.named_set(from)? {
            self.push(Hir::class(Class::Unicode(class)));
        } else {
            let code_point = self.escaped_code_point(from)?;
            self.push_literal(code_point);
        }
        Ok(())
    }

    /// Characters as they are, up to `\E`.
    fn quoted(&mut self) {
        let rest = self.rest();
        let text = rest.split_once(r"\E").map_or(rest, |(text, _)| text);
        self.position += text.len();
        self.take(r"\E");
        for character in text.chars() {
            self.push_literal(character.into());
        }
    }

    /// A set of characters that has a name, such as `\d` or `\p{Greek}`, behind its backslash.
    fn named_set(&mut self, from: usize) -> Result<Option<regex_syntax::hir::ClassUnicode>> {
        let case = self.flags.case();
        if let Some(class) = self.peek().and_then(|letter| perl(letter, case)) {
            self.next();
            return Ok(Some(class));
        }
        let is_outside = self.peek() == Some('P');
        if !self.take("p") && !self.take("P") {
            return Ok(None);
        }
        let name = if self.take("{") {
            self.until('}')
        } else {
            let rest = self.rest();
            self.next().and_then(|character| rest.get(..character.len_utf8()))
        };
        let Some(name) = name else {
            self.position = self.pattern.len();
            return Err(self.fault(BAD_CLASS, from));
        };
        let (is_outside, name) = match name.strip_prefix('^') {
            Some(name) => (!is_outside, name),
            None => (is_outside, name),
        };
        let Some(mut class) = self.sets.unicode(name, case) else {
            return Err(self.fault(BAD_CLASS, from));
        };
        self.spend_ranges(class.ranges().len() as u64)?;
        if is_outside {
            class.negate();
        }
        Ok(Some(class))
    }

    /// One character behind a backslash.
    fn escaped_code_point(&mut self, from: usize) -> Result<CodePoint> {
        let Some(character) = self.next() else {
            return Err(refused(TRAILING_BACKSLASH.to_owned()));
        };
        let code_point = match character {
            'a' => Some(0x07),
            'f' => Some(0x0c),
            'n' => Some(0x0a),
            'r' => Some(0x0d),
            't' => Some(0x09),
            'v' => Some(0x0b),
            'x' => self.hexadecimal(),
            '0' => Some(self.octal(0)),
            // One digit alone would refer to a group.
            '1'..='7' if self.peek().is_some_and(|next| next.is_digit(8)) => {
                character.to_digit(8).map(|first| self.octal(first))
            }
            other => (!other.is_ascii_alphanumeric()).then_some(other.into()),
        };
        code_point.ok_or_else(|| self.fault(BAD_ESCAPE, from))
    }

    /// Up to two more digits.
    fn octal(&mut self, first: CodePoint) -> CodePoint {
        let mut code_point = first;
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|next| next.to_digit(8)) else { break };
            self.next();
            code_point = code_point * 8 + digit;
        }
        code_point
    }

    /// Two digits, or any number of them in braces.
    fn hexadecimal(&mut self) -> Option<CodePoint> {
        if !self.take("{") {
            let high = self.next()?.to_digit(16);
            let low = self.next()?.to_digit(16);
            return Some(high? * 16 + low?);
        }
        let mut code_point = None;
        loop {
            let next = self.next()?;
            if next == '}' {
                return code_point;
            }
            let value = code_point.unwrap_or(0) * 16 + next.to_digit(16)?;
            if value > char::MAX.into() {
                return None;
            }
            code_point = Some(value);
        }
    }

    /// What begins with `[`.
    fn class(&mut self, from: usize) -> Result<()> {
        let is_negated = self.take("^");
        let mut set = CharacterSet::default();
        let mut is_first = true;
        // As the first character `]` is one like others.
        while is_first || !self.take("]") {
            is_first = false;
            self.class_item(&mut set, from)?;
        }
        let (mut class, ranges) = set.finish(self.flags.case());
        self.spend_ranges(ranges)?;
        if is_negated {
            class.negate();
        }
        self.push(Hir::class(Class::Unicode(class)));
        Ok(())
    }

    fn class_item(&mut self, set: &mut CharacterSet, class_from: usize) -> Result<()> {
        let from = self.position;
        if self.take("[:")
            && let Some((name, _)) = self.rest().split_once(":]")
        {
            self.position += name.len() + ":]".len();
            let Some(class) = posix(name, self.flags.case()) else {
                return Err(self.fault(BAD_CLASS, from));
            };
            set.add(&class);
            return Ok(());
        }
        self.position = from;
        if self.take("\\")
            && let Some(class) = self.named_set(from)?
        {
            set.add(&class);
            return Ok(());
        }
        self.position = from;
        let first = self.class_character(class_from)?;
        // A `-` in front of the end is a character like others.
        let is_range = self.rest().starts_with('-') && !self.rest().starts_with("-]");
        let last = if is_range {
            self.take("-");
            self.class_character(class_from)?
        } else {
            first
        };
        if last < first {
            return Err(self.fault(BAD_CLASS, from));
        }
        set.add_range(first, last);
        Ok(())
    }

    fn class_character(&mut self, class_from: usize) -> Result<CodePoint> {
        let from = self.position;
        match self.next() {
            Some('\\') => self.escaped_code_point(from),
            Some(character) => Ok(character.into()),
            None => Err(self.fault(MISSING_BRACKET, class_from)),
        }
    }

    /// Making a set takes time by the ranges that it is made of, and those are not in what the
    /// pattern compiles to once they have become one.
    fn spend_ranges(&mut self, ranges: u64) -> Result<()> {
        let Some(ranges_left) = self.ranges_left.checked_sub(ranges) else {
            let ranges_max = limits::PATTERN_RANGES_MAX;
            return Err(refused(format!("its sets have more than {ranges_max} ranges")));
        };
        self.ranges_left = ranges_left;
        Ok(())
    }

    fn push(&mut self, term: Hir) {
        self.group.terms.push(term);
    }

    fn push_literal(&mut self, code_point: CodePoint) {
        let term = match (char::from_u32(code_point), self.flags.case()) {
            (Some(character), Case::Counts) => {
                Hir::literal(character.encode_utf8(&mut [0; 4]).as_bytes())
            }
            (_, case) => Hir::class(Class::Unicode(CharacterSet::of(code_point, case))),
        };
        self.push(term);
    }

    fn rest(&self) -> &'p str {
        self.pattern.get(self.position..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.position += character.len_utf8();
        Some(character)
    }

    /// Takes `text` if it comes next; whether it did.
    fn take(&mut self, text: &str) -> bool {
        let is_next = self.rest().starts_with(text);
        if is_next {
            self.position += text.len();
        }
        is_next
    }

    /// Takes what comes before `end`, and that.
    fn until(&mut self, end: char) -> Option<&'p str> {
        let (text, _) = self.rest().split_once(end)?;
        self.position += text.len() + end.len_utf8();
        Some(text)
    }

    /// An error that shows the pattern from a place up to where it was read.
    fn fault(&self, what: &str, from: usize) -> crate::error::Error {
        let part = self.pattern.get(from..self.position).unwrap_or_default();
        let quoted: String = part.chars().take(QUOTED_CHARACTERS_MAX).collect();
        refused(format!("{what}: `{quoted}`"))
    }
}
