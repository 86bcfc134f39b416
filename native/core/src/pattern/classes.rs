//! Sets of characters: ranges, and those that RE2 has names for.

use std::sync::LazyLock;

use hashbrown::HashMap;
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind};

/// The two letters or one by which RE2 knows Unicode's categories; it knows scripts by their names.
const CATEGORIES: [&str; 37] = [
    "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N",
    "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So",
    "Z", "Zl", "Zp", "Zs", "Any",
];

/// A character, or a surrogate, which patterns may name and no name contains.
pub(super) type CodePoint = u32;

/// A set, and the other cases of its characters where case does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Counts,
    Ignored,
}

/// Characters that are gathered into a set.
#[derive(Default)]
pub(super) struct CharacterSet(Vec<ClassUnicodeRange>);

impl CharacterSet {
    pub(super) fn of(code_point: CodePoint, case: Case) -> ClassUnicode {
        let mut set = Self::default();
        set.add_range(code_point, code_point);
        set.finish(case).0
    }

    pub(super) fn add_range(&mut self, first: CodePoint, last: CodePoint) {
        // Of surrogates at either end the nearest character within the range.
        let first = char::from_u32(first).unwrap_or('\u{e000}');
        let last = char::from_u32(last).unwrap_or('\u{d7ff}');
        if first <= last {
            self.0.push(ClassUnicodeRange::new(first, last));
        }
    }

    pub(super) fn add(&mut self, class: &ClassUnicode) {
        self.0.extend_from_slice(class.ranges());
    }

    /// The set, where case does not count with the other cases of all that is in it; and how many
    /// ranges it was made of.
    pub(super) fn finish(self, case: Case) -> (ClassUnicode, u64) {
        let ranges = self.0.len() as u64;
        let (class, cased_ranges) = with_cases(ClassUnicode::new(self.0), case);
        (class, ranges + cased_ranges)
    }
}

/// Sets with a name, each made once a pattern: those of Unicode are large.
#[derive(Default)]
pub(super) struct NamedSets(HashMap<(String, bool), Option<ClassUnicode>>);

impl NamedSets {
    /// Unicode's category or script of this name.
    pub(super) fn unicode(&mut self, name: &str, case: Case) -> Option<ClassUnicode> {
        let key = (name.to_owned(), case == Case::Ignored);
        self.0.entry(key).or_insert_with(|| unicode(name, case)).clone()
    }
}

fn unicode(name: &str, case: Case) -> Option<ClassUnicode> {
    let is_category = CATEGORIES.contains(&name);
    let is_script = name.len() > 2
        && name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
    let property = match name {
        "Any" => r"\p{any}".to_owned(),
        // Surrogates are in no name.
        "Cs" => return Some(ClassUnicode::empty()),
        _ if is_category => format!(r"\p{{gc={name}}}"),
        _ if is_script => format!(r"\p{{sc={name}}}"),
        _ => return None,
    };
    let HirKind::Class(Class::Unicode(class)) = regex_syntax::parse(&property).ok()?.into_kind()
    else {
        return None;
    };
    Some(with_cases(class, case).0)
}

/// The set of a letter behind a backslash, such as `d`; upper case is what is not in it.
pub(super) fn perl(letter: char, case: Case) -> Option<ClassUnicode> {
    let ranges: &[(char, char)] = match letter.to_ascii_lowercase() {
        'd' => &[('0', '9')],
        's' => &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')],
        'w' => WORD,
        _ => return None,
    };
    Some(with_sign(ranges, case, letter.is_ascii_uppercase()))
}

/// The set of a name between `[:` and `:]`; a `^` in front makes it what is not in the set.
pub(super) fn posix(name: &str, case: Case) -> Option<ClassUnicode> {
    let (is_negated, name) = match name.strip_prefix('^') {
        Some(name) => (true, name),
        None => (false, name),
    };
    let ranges: &[(char, char)] = match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7f')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => WORD,
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    };
    Some(with_sign(ranges, case, is_negated))
}

const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

fn with_sign(ranges: &[(char, char)], case: Case, is_negated: bool) -> ClassUnicode {
    let ranges = ranges.iter().map(|(first, last)| ClassUnicodeRange::new(*first, *last));
    let mut class = with_cases(ClassUnicode::new(ranges), case).0;
    if is_negated {
        class.negate();
    }
    class
}

/// Characters that have another case. There are some 2,900, and all others are passed over where
/// cases are looked for: one by one the characters of `(?i)[^a]` alone take 5 ms.
static CASED: LazyLock<ClassUnicode> = LazyLock::new(|| {
    match regex_syntax::parse(r"\p{Changes_When_Casemapped}").map(Hir::into_kind) {
        Ok(HirKind::Class(Class::Unicode(class))) => class,
        // A test holds the sets that are made with it against all characters there are.
        _ => ClassUnicode::empty(),
    }
});

/// The set, where case does not count with the other cases of all that is in it; and in how many
/// ranges those came, one a character.
fn with_cases(mut class: ClassUnicode, case: Case) -> (ClassUnicode, u64) {
    if case == Case::Counts {
        return (class, 0);
    }
    let mut cased = class.clone();
    cased.intersect(&CASED);
    let count = |range: &ClassUnicodeRange| u64::from(range.end()) - u64::from(range.start()) + 1;
    let cased_ranges = cased.ranges().iter().map(count).sum();
    cased.case_fold_simple();
    class.union(&cased);
    (class, cased_ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_found_in_its_other_cases() {
        let mut cased = 0;
        for character in '\0'..=char::MAX {
            let mut expected = ClassUnicode::new([ClassUnicodeRange::new(character, character)]);
            let alone = expected.clone();
            expected.case_fold_simple();
            cased += u32::from(expected != alone);
            assert_eq!(CharacterSet::of(character.into(), Case::Ignored), expected);
        }
        assert!(cased > 2_000, "{cased}");
    }
}
