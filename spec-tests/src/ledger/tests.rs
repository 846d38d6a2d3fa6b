use super::*;

fn ledger(clauses: &str) -> Ledger {
    Ledger::parse("sample", &format!("title = \"Samples\"\n{clauses}")).unwrap()
}

fn clause(id: &str, rest: &str) -> String {
    format!("[[clause]]\nid = {id:?}\nsource = \"s\"\nlevel = \"must\"\nsays = \"x\"\n{rest}\n")
}

fn tests() -> Tests {
    let mut tests = Tests::default();
    tests.add("core/src/a.rs", "#[test]\nfn one() {\n}\n#[test]\n#[ignore = \"slow\"]\nfn slow() {\n}\n");
    tests
}

fn faults(clauses: &[String]) -> Vec<String> {
    check(&[ledger(&clauses.concat())], &tests()).iter().map(ToString::to_string).collect()
}

#[test]
fn a_ledger_in_order_has_no_fault() {
    let clauses = [
        clause("A1.1", "tests = [\"one\"]"),
        clause("A1.2", "status = \"exception\"\nreason = \"why\""),
        clause("A1.3", "tests = [\"one\"]\nstatus = \"exception\"\nreason = \"in part\""),
    ];
    assert_eq!(faults(&clauses), [""; 0]);
}

#[test]
fn each_fault_is_told() {
    for (rest, told) in [
        ("", "A has no test and is no exception"),
        ("tests = []", "A has no test and is no exception"),
        ("status = \"exception\"", "A must give a reason if it is an exception, and none otherwise"),
        (
            "status = \"exception\"\nreason = \" \"",
            "A must give a reason if it is an exception, and none otherwise",
        ),
        (
            "tests = [\"one\"]\nreason = \"why\"",
            "A must give a reason if it is an exception, and none otherwise",
        ),
        ("tests = [\"two\"]", "A names the test two, which is nowhere or ignored"),
        ("tests = [\"slow\"]", "A names the test slow, which is nowhere or ignored"),
        ("tests = [\"one\", \"one\"]", "A names the test one twice"),
    ] {
        assert_eq!(faults(&[clause("A", rest)]), [told], "{rest}");
    }
    let silent = clause("A", "tests = [\"one\"]").replace("\"x\"", "\"\"");
    assert_eq!(faults(&[silent]), ["A does not say what it asks for or where that comes from"]);
    let twice = clause("A", "tests = [\"one\"]");
    assert_eq!(faults(&[twice.clone(), twice]), ["A is there twice"]);
}

#[test]
fn one_number_in_two_ledgers_is_a_fault() {
    let one = ledger(&clause("A", "tests = [\"one\"]"));
    assert_eq!(check(&[one.clone(), one], &tests()), [LedgerFault::RepeatedId("A".into())]);
}

#[test]
fn what_is_no_ledger_is_refused() {
    for text in [
        "",
        "clause = 1",
        "[[clause]]",
        "[[clause]]\nid = \"A\"",
        &clause("A", "level2 = 1"),
        &clause("A", "tests = \"one\""),
        &clause("A", "status = \"perhaps\""),
        &clause("A", "").replace("must", "would"),
        &(clause("A", "") + "[other]\n"),
        &format!("name = \"x\"\n{}", clause("A", "")),
    ] {
        let titled = format!("title = \"Samples\"\n{text}");
        assert!(matches!(Ledger::parse("sample", &titled), Err(LedgerError::Form { .. })), "{text}");
    }
    assert!(Ledger::parse("sample", &clause("A", "")).is_err(), "no title");
}

#[test]
fn a_test_of_several_files_is_cited_with_its_file() {
    let mut tests = Tests::default();
    for path in ["spec-tests/tests/a/one.rs", "spec-tests/tests/b/one.rs", "spec-tests/tests/b/stone.rs"] {
        tests.add(path, "#[test]\nfn same() {}\n");
    }
    assert_eq!(tests.find("same").len(), 3);
    assert_eq!(tests.find("stone::same"), ["spec-tests/tests/b/stone.rs"]);
    assert_eq!(tests.find("b/one::same"), ["spec-tests/tests/b/one.rs"]);
    assert_eq!(tests.find("two::same"), [""; 0]);
    let faults = |cited: &str| {
        let ledger = ledger(&clause("A", &format!("tests = [{cited}]")));
        check(&[ledger], &tests).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(faults("\"same\""), ["A names the test same, which is in several files"]);
    assert_eq!(
        faults("\"a/one::same\", \"stone::same\""),
        ["spec-tests/tests/b/one.rs: the test same is named by no clause"]
    );
}

#[test]
fn a_conformance_test_that_no_clause_names_is_stray() {
    let mut tests = tests();
    tests.add("spec-tests/tests/conformance/a.rs", "#[test]\nfn lonely() {\n}\nfn no_test() {\n}\n");
    tests.add("spec-tests/tests/report.rs", "#[test]\nfn report() {\n}\n");
    let faults = check(&[ledger(&clause("A", "tests = [\"one\"]"))], &tests);
    let path = "spec-tests/tests/conformance/a.rs".to_owned();
    assert_eq!(faults, [LedgerFault::Stray { path, test: "lonely".into() }]);
}

#[test]
fn tests_are_found_in_every_form() {
    let mut tests = Tests::default();
    let text = "
fn helper() {}
#[test]
#[expect(clippy::panic)]
fn plain() {
    fn inner() {}
}
mod tests {
    #[test]
    fn nested() {}
    quickcheck! {
        fn law(x: u8) -> bool {
            fn inner_of_law() {}
            true
        }

        fn other_law(x: u8) -> bool { true }
    }
    fn after() {}
}
// fn commented() {}
isolated!(in_a_namespace, || {
    fn inner_of_isolated() {}
});
";
    tests.add("core/src/x.rs", text);
    for name in ["plain", "nested", "law", "other_law", "in_a_namespace"] {
        assert!(!tests.find(name).is_empty(), "{name}");
    }
    for name in ["helper", "inner", "inner_of_law", "after", "commented", "inner_of_isolated"] {
        assert!(tests.find(name).is_empty(), "{name}");
    }
    assert_eq!(tests.count(), 5);
}

const DOCUMENT: &str = "# Title\n\n**A1.1** One MUST do\nthis.\n\nThis MUST not count.\n\n- **A1.2** It\n  MUST NOT be.\n\n\
                        **A1.3** One SHOULD.\n\n**not** a clause, **1.2** neither, **A1** MUST nor\n";

#[test]
fn a_document_has_the_clauses_that_begin_a_paragraph() {
    let clauses: Vec<_> =
        Document::parse(DOCUMENT).clauses().map(|(id, level)| format!("{id} {level}")).collect();
    assert_eq!(clauses, ["A1.1 must", "A1.2 must", "A1.3 should"]);
}

#[test]
fn a_ledger_and_its_document_have_the_same_clauses() {
    let document = Document::parse(DOCUMENT);
    let with = |ids: &[&str], should: &str| {
        let clauses: String = ids.iter().map(|id| clause(id, "tests = [\"one\"]")).collect();
        let text = clauses.replacen(should, &should.replace("must", "should"), 1);
        let faults = compare(&[&ledger(&text)], &document);
        faults.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let third = "id = \"A1.3\"\nsource = \"s\"\nlevel = \"must\"";
    assert_eq!(with(&["A1.1", "A1.2", "A1.3"], third), [""; 0]);
    assert_eq!(with(&["A1.1", "A1.3"], third), ["A1.2 is in the document and not in the ledger"]);
    assert_eq!(
        with(&["A1.1", "A1.2", "A1.3", "A1.4"], third),
        ["A1.4 is in the ledger and not in the document"]
    );
    assert_eq!(
        with(&["A1.1", "A1.2", "A1.3"], "no such text"),
        ["A1.3 is must in the ledger and should in the document"]
    );
    let twice = Document::parse("**A1.1** MUST\n\n**A1.1** MUST\n");
    let faults = compare(&[&ledger(&clause("A1.1", "tests = [\"one\"]"))], &twice);
    assert_eq!(faults, [LedgerFault::RepeatedId("A1.1".into())]);
}

#[test]
fn coverage_counts_what_is_proved() {
    let text = clause("A", "tests = [\"one\"]") + &clause("B", "status = \"exception\"\nreason = \"why\"");
    let (ledgers, tests) = ([ledger(&text)], tests());
    let shown = Coverage::new(&ledgers, &tests).to_string();
    assert!(shown.contains("sample            1/2       1/2       0/0       0/0      1"), "{shown}");
    assert!(shown.contains("1 of the workspace's 1 tests prove a clause\nexception B: x (why)"), "{shown}");
}

#[test]
fn a_page_has_a_row_for_each_clause() {
    let text = clause("A", "tests = [\"one\"]")
        + &clause("B", "status = \"exception\"\nreason = \"why | not\"")
        + &clause("C", "tests = [\"one\"]\nstatus = \"exception\"\nreason = \"in part\"");
    let page = Page::new(&[ledger(&text)]).to_string();
    let rows: Vec<_> =
        page.lines().filter(|line| line.starts_with("| A") || line.starts_with("| B")).collect();
    assert_eq!(rows, ["| A | s | must | x | `one` |", "| B | s | must | x | **exception:** why \\| not |"]);
    assert!(page.contains("| C | s | must | x | **exception:** in part; `one` |"), "{page}");
    assert!(page.contains("\n## Samples\n") && page.contains("| Samples | 1 of 3 |"), "{page}");
}
