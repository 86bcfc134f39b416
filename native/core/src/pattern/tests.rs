use super::*;

/// What Kafka's own library makes of patterns; `Generate.java` beside it wrote it.
const ANSWERS: &str = include_str!("../../../../test/fixtures/patterns/patterns.txt");

fn matching<'n>(pattern: &str, names: &[&'n str]) -> Vec<&'n str> {
    let joined: String = names.iter().flat_map(|name| [name, "\n"]).collect();
    let indexes = match_names(pattern, &joined, u32::try_from(names.len()).unwrap()).unwrap();
    indexes.into_iter().map(|index| names[usize::try_from(index).unwrap()]).collect()
}

/// `1` for each name that matches, `0` for the others.
fn answer(pattern: &NamePattern, names: &[&str]) -> String {
    let mut matching = pattern.matching();
    let digit = |is_match| if is_match { '1' } else { '0' };
    names.iter().map(|name| digit(matching.matches(name).unwrap())).collect()
}

fn matches(pattern: &str, name: &str) -> bool {
    answer(&NamePattern::new(pattern).unwrap(), &[name]) == "1"
}

fn refusal(pattern: &str) -> String {
    let error = NamePattern::new(pattern).unwrap_err();
    assert_eq!(error.code(), Code::InvalidRegularExpression);
    error.detail().to_owned()
}

#[test]
fn patterns_mean_what_they_mean_to_kafka() {
    let mut lines = ANSWERS.lines();
    let names: Vec<_> = lines.next().unwrap().split('\t').collect();
    let mut differences = Vec::new();
    let mut matches = 0;
    for line in lines {
        let (pattern, expected) = line.rsplit_once('\t').unwrap();
        let found = match NamePattern::new(pattern) {
            Ok(pattern) => answer(&pattern, &names),
            Err(_) => "refused".to_owned(),
        };
        matches += found.matches('1').count();
        if found != expected {
            differences.push(format!("{pattern}: {found} instead of {expected}"));
        }
    }
    assert_eq!(differences, [""; 0]);
    assert!(matches > 500, "the patterns match something: {matches}");
}

#[test]
fn names_match_as_a_whole() {
    let names = ["orders", "orders-eu", "eu-orders", "Orders"];
    assert_eq!(matching("orders", &names), ["orders"]);
    assert_eq!(matching("orders.*", &names), ["orders", "orders-eu"]);
    assert_eq!(matching("orders|eu-.*", &names), ["orders", "eu-orders"]);
    assert_eq!(matching("(?i)ORDERS", &names), ["orders", "Orders"]);
    assert_eq!(matching(".*", &[]), [""; 0]);
    assert_eq!(matching(".*", &["", "a"]), ["", "a"]);
}

#[test]
fn a_refusal_tells_what_is_wrong_and_where() {
    assert_eq!(refusal("a**"), "invalid nested repetition operator: `**`");
    assert_eq!(refusal("a|*"), "missing argument to repetition operator: `*`");
    assert_eq!(refusal("b[z-a]"), "invalid character class range: `z-a`");
    assert_eq!(refusal("[a"), "missing closing ]: `[a`");
    assert_eq!(refusal("(a"), "missing closing ): `(a`");
    assert_eq!(refusal("a)"), "unexpected ): `)`");
    assert_eq!(refusal(r"a\q"), r"invalid escape sequence: `\q`");
    assert_eq!(refusal("a\\"), "trailing backslash at end of expression");
    assert_eq!(refusal("(?x)a"), "invalid or unsupported Perl syntax: `(?x`");
    assert_eq!(refusal("(?P<é>a)"), "invalid named capture: `(?P<é>`");
    assert_eq!(refusal("(?P<n>a)(?P<n>b)"), "duplicate capture group name: `n`");
    assert_eq!(refusal("a{1001}"), "invalid repeat count: `{1001}`");
    assert!(refusal(&format!("({}", "é".repeat(3000))).len() < 300);
}

#[test]
fn patterns_are_bounded() {
    let longest = "a".repeat(usize::try_from(limits::PATTERN_BYTES_MAX).unwrap());
    assert!(matches(&longest, &longest));
    assert_eq!(refusal(&format!("{longest}a")), "8193 bytes, a pattern has at most 8192");

    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(matches(&nested(250), "a"));
    assert!(refusal(&nested(251)).starts_with("groups nested deeper than 250"));

    for large in ["(a{1000}){1000}", "((.{100}){100}){100}", &".".repeat(8000)] {
        assert_eq!(refusal(large), "it compiles to more than 524288 bytes");
    }
    // Each would take seconds otherwise, and compiles to little: its ranges come to be one.
    let set = |item: &str| format!("(?i)[{}]", item.repeat(500));
    for intricate in [set(r"\pL"), set(r"\pL\PL"), "(?i)[a-\u{10ffff}]".repeat(500)] {
        assert_eq!(refusal(&intricate), "its sets have more than 65536 ranges");
    }
    assert!(matches(&set("a-\u{10ffff}"), "A"));
    assert!(matches("((){1000}){1000}", ""));
}

/// Random enough that nearly every byte leads to a state that was not there before.
pub(super) fn intricate_names(count: u32) -> String {
    let mut dice = 1_u64;
    let mut letter = || {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if dice >> 63 == 0 { 'a' } else { '1' }
    };
    (0..count)
        .flat_map(|_| {
            (0..=249).map(|at| if at == 249 { '\n' } else { letter() }).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn steps_are_bounded() {
    for pattern in ["[a1]*a[a1]{15}", "(a*b*[.]*1*){1000}x"] {
        let error = match_names(pattern, &intricate_names(2000), 2000).unwrap_err();
        assert_eq!(error.code(), Code::InvalidRegularExpression);
        assert_eq!(error.detail(), "it takes too many steps to match names");
    }
}

#[test]
fn as_many_names_as_a_pattern_has_room_for_are_found_one_by_one() {
    let wanted: Vec<_> = (0..500).map(|at| format!("orders-of-{}", at * 31)).collect();
    let others = (0..19_500).map(|at| format!("orders-of-{}", at * 31 + 7));
    let names: Vec<_> = wanted.iter().cloned().chain(others).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let pattern = wanted.join("|");
    assert!(pattern.len() > 7_000);
    assert_eq!(matching(&pattern, &names), wanted);
    // Not alternatives of characters alone.
    let pattern = wanted.iter().take(300).map(|name| format!("({name}[x]?)")).collect::<Vec<_>>();
    assert_eq!(matching(&pattern.join("|"), &names), wanted[..300]);
}

#[test]
fn names_that_are_not_ended_are_refused() {
    for (names, count) in [("a\nb\n", 1), ("a\n", 2), ("a", 1)] {
        assert_eq!(match_names("a", names, count).unwrap_err().code(), Code::InvalidArgument);
    }
}
