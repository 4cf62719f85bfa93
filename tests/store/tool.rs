//! `corelay store` on stores that nobody uses: what it exports comes back, and what is wrong in a store is said.
//!
//! CORELAY_TEST_ROUNDS makes the campaigns longer.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use corelay::codec::record::{self, OperationsRecord};
use corelay::config::Durability;
use corelay::store::{Backend, CommitRow, DocumentRow, Loaded, Reader};
use fjall::{Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::common::store_tool::{Document, commit, tool, verify};
use crate::support::{Seed, copy, delete, open, open_as, restore, rounds, sweep};

/// What happens to a document.
#[derive(Debug, Clone)]
enum Act {
    Append {
        client: u64,
        words: Vec<Vec<u8>>,
        author: String,
    },
    Snapshot(Option<Vec<u8>>),
    Version,
    Delete,
    Restore,
    /// It goes for good, and is made anew by the next append, maybe as another kind.
    Sweep(bool),
}

fn act() -> impl Strategy<Value = Act> {
    let word = prop_oneof![
        vec(any::<u8>(), 0..12),
        Just(br#"{"x": [1, 2]}"#.to_vec()),
        Just(b"{\"lines\":\n1}".to_vec()),
        Just("Ünde 🎉 fïn".as_bytes().to_vec()),
        Just(vec![7; 5000]),
    ];
    let words = (0..4u64, vec(word, 1..5), "[a-zé]{0,6}");
    prop_oneof![
        8 => words.prop_map(|(client, words, author)| Act::Append { client, words, author }),
        2 => proptest::option::of(vec(any::<u8>(), 0..3000)).prop_map(Act::Snapshot),
        1 => Just(Act::Version),
        1 => Just(Act::Delete),
        1 => Just(Act::Restore),
        1 => any::<bool>().prop_map(Act::Sweep),
    ]
}

/// A store with documents to which all of that has happened, each in turn.
fn store_of(path: &Path, acts: &[Act]) {
    let mut store = open(path);
    let names = [
        ("a", "log"),
        ("acme::b", "text"),
        ("::x::c", "log"),
        ("t", "text"),
    ];
    let mut documents = names.map(|(name, kind)| Document::new(name, kind, 1));
    let mut time_ms = 1_700_000_000_000;
    for (act, at) in acts.iter().zip(0..) {
        time_ms += 1000;
        let document = &mut documents[at % names.len()];
        let name = document.name.clone();
        let is_live = matches!(store.load(&name), Ok(Loaded::Live(_)));
        let is_deleted = matches!(store.load(&name), Ok(Loaded::Deleted { .. }));
        match act {
            Act::Append {
                client,
                words,
                author,
            } if !is_deleted => {
                let words: Vec<&[u8]> = words.iter().map(|word| &**word).collect();
                let write = document.append(client + 1, &words, author, time_ms);
                commit(&mut store, &[write]);
            }
            Act::Snapshot(offer) if is_live => {
                let write = document.snapshot(offer.as_deref());
                commit(&mut store, &[write]);
            }
            Act::Version if is_live => {
                let revision = document.newest();
                let write = document.version(&format!("v{time_ms}"), revision);
                commit(&mut store, &[write]);
            }
            Act::Delete if is_live => commit(&mut store, &[delete(&name, time_ms)]),
            Act::Restore if is_deleted => commit(&mut store, &[restore(&name)]),
            Act::Sweep(is_text) if is_deleted => {
                commit(&mut store, &[sweep(u64::MAX)]);
                // Others that were deleted are gone, too.
                for document in &mut documents {
                    if let Ok(Loaded::Gone { revision }) = store.load(&document.name)
                        && document.first_revision <= revision
                    {
                        let kind = if *is_text { "text" } else { "log" };
                        *document = Document::new(&document.name, kind, revision + 1);
                    }
                }
            }
            _cannot_be => {}
        }
    }
    store.close().unwrap();
}

fn export(path: &Path) -> String {
    tool("export", path, &[]).good()
}

fn import(
    path: &Path,
    text: impl AsRef<[u8]>,
    arguments: &[&str],
) -> crate::common::store_tool::Ended {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let mut all = vec![file.path().to_str().unwrap()];
    all.extend(arguments);
    tool("import", path, &all)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(rounds(6) as u32))]

    #[test]
    fn what_is_exported_and_imported_is_the_same(acts in vec(act(), 1..80)) {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (directory.path().join("first"), directory.path().join("second"));
        store_of(&first, &acts);
        let (is_sound, said) = verify(&first);
        prop_assert!(is_sound, "{}", said);
        let exported = export(&first);
        import(&second, &exported, &[]).good();
        prop_assert_eq!(export(&second), exported.clone());
        let (is_sound, said) = verify(&second);
        prop_assert!(is_sound, "{}", said);
        // What a relay is given of them is the same, too.
        let (first, second) = (open(&first), open(&second));
        for name in ["a", "acme::b", "::x::c", "t"] {
            let loads = [&first, &second].map(|store| match store.load(name).unwrap() {
                Loaded::Live(mut loaded) => {
                    // How its bytes are counted depends on how they are encoded.
                    loaded.stored_bytes = 0;
                    Loaded::Live(loaded)
                }
                other => other,
            });
            prop_assert_eq!(&loads[0], &loads[1]);
            prop_assert_eq!(first.versions(name), second.versions(name));
        }
    }
}

/// A store with one document of each kind, a deleted one and one that is gone, with versions and snapshots.
fn sample(path: &Path) {
    let mut store = open(path);
    let mut log = Document::new("board", "log", 1);
    let mut text = Document::new("acme::paper", "text", 1);
    for time_ms in 1..30 {
        let words: [&[u8]; 2] = [b"{\"x\":1}", &[0, 159, 255]];
        let writes = [
            log.append(7, &words, "ann", time_ms),
            text.append(8 + time_ms % 2, &[b"word"], "bob", time_ms),
        ];
        commit(&mut store, &writes);
        if time_ms == 20 {
            commit(
                &mut store,
                &[log.snapshot(Some(b"summary")), text.snapshot(None)],
            );
            commit(
                &mut store,
                &[log.version("first", 5), text.version("second", 20)],
            );
        }
    }
    for (name, at_ms) in [("old", 5), ("older", 1)] {
        let mut document = Document::new(name, "log", 1);
        commit(&mut store, &[document.append(1, &[b"x", b"y"], "", 1)]);
        commit(&mut store, &[delete(name, at_ms)]);
    }
    commit(&mut store, &[sweep(2)]);
    store.close().unwrap();
}

#[test]
fn an_export_is_readable_and_an_import_judges_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    sample(&path);
    let exported = export(&path);
    let lines: Vec<serde_json::Value> = exported
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["corelayExport"]["version"], 1);
    assert_eq!(lines[lines.len() - 1]["exported"]["documents"], 4);
    let document = |name: &str| {
        let at = lines
            .iter()
            .position(|line| line["document"]["name"] == name);
        &lines[at.unwrap()..]
    };
    let board = document("board");
    assert_eq!(board[0]["document"]["historyFromRevision"], 41);
    let offer = &board[1]["snapshot"]["offer"];
    assert_eq!(offer["data"], serde_json::json!({"base64": "c3VtbWFyeQ=="}));
    let batch = &board[2]["operations"];
    assert_eq!(
        (&batch["author"], &batch["timeMs"]),
        (&"ann".into(), &21.into())
    );
    let operations = serde_json::json!([{"x": 1}, {"base64": "AJ//"}]);
    assert_eq!(batch["operations"], operations);
    let paper = document("paper");
    assert_eq!(paper[0]["document"]["tenant"], "acme");
    let first = &paper[2]["operations"]["operations"];
    assert_eq!(*first, serde_json::json!([[{"insert": "word."}]]));
    let end = paper.iter().find(|line| !line["end"].is_null()).unwrap();
    assert_eq!(end["end"]["text"], "word.".repeat(29));
    assert_eq!(document("old")[0]["document"]["deletedAtMs"], 5);
    assert!(exported.contains(r#"{"gone":{"name":"older","revision":2}}"#));

    // Of one tenant, or of one document.
    let one = tool("export", &path, &["--tenant", "acme"]).good();
    assert_eq!(one.matches("\"document\"").count(), 1);
    let same = tool(
        "export",
        &path,
        &["--tenant", "acme", "--document", "paper"],
    );
    assert_eq!(same.good(), one);
    let missing = tool("export", &path, &["--document", "paper"]);
    assert_eq!(missing.code, Some(1));
    assert!(
        missing.error.contains("no document \"paper\""),
        "{missing:?}"
    );

    // Not over what is there; with --merge, beside it.
    let other = directory.path().join("other");
    import(&other, &one, &[]).good();
    let refused = import(&other, &exported, &[]);
    assert!(refused.error.contains("--merge"), "{refused:?}");
    let merged = import(&other, &exported, &["--merge"]);
    assert!(
        merged.error.contains("3 documents imported, 1 passed over"),
        "{merged:?}"
    );
    assert_eq!(export(&other), exported);

    // What is not what was exported is not taken.
    let wrong = [
        (
            exported.replace("\"insert\":\"word.\"", "\"insert\":\"words.\""),
            "its snapshot",
        ),
        (
            exported.replace("\"delete\":1", "\"delete\":1000"),
            "does not fit",
        ),
        (
            exported.replace("\"version\":1", "\"version\":2"),
            "version 2",
        ),
        (
            exported.replace("\"firstClock\":44", "\"firstClock\":45"),
            "clock",
        ),
        (
            exported.replacen("{\"end\":", "{\"fin\":", 1),
            "unknown variant",
        ),
        (
            exported
                .lines()
                .take(30)
                .map(|line| format!("{line}\n"))
                .collect(),
            "ends here",
        ),
        (
            exported.replace("\"documents\":4", "\"documents\":5"),
            "4 came",
        ),
    ];
    for (text, expected) in wrong {
        if text == exported {
            continue;
        }
        let fresh = tempfile::tempdir().unwrap();
        let refused = import(fresh.path(), &text, &[]);
        assert_eq!(refused.code, Some(1), "{expected}");
        assert!(refused.error.contains(expected), "{expected}: {refused:?}");
        let (is_sound, said) = verify(fresh.path());
        assert!(is_sound, "{said}");
    }
}

#[test]
fn an_import_takes_nothing_that_no_relay_can_have_made() {
    let operations = r#"{"operations":{"revision":1,"origin":7,"firstClock":0,"operations":[1]}}"#;
    let document = r#"{"document":{"name":"n","kind":"log","firstRevision":1}}"#;
    let (begun, end) = (
        r#"{"document":{"name":"n","kind":"text","firstRevision":1,"historyFromRevision":6,"snapshotRevision":5}}"#,
        r#"{"end":{"revision":5}}"#,
    );
    let snapshot = |clients: &str| {
        format!(r#"{{"snapshot":{{"operationBytesTotal":9,"text":"hi","clients":[{clients}]}}}}"#)
    };
    let client = |runs: &str| format!(r#"{{"id":7,"nextClock":5,"runs":[{runs}]}}"#);
    let begin = "{\"corelayExport\":{\"version\":1}}\n";
    let author = "x".repeat(129);
    let table: [(&str, &[&str]); 10] = [
        (
            "larger than anything",
            &[r#"{"gone":{"name":"n","revision":18446744073709551614}}"#],
        ),
        (
            "larger than anything",
            &[&document.replace(":1}", ":9007199254740992}")],
        ),
        (
            "larger than anything",
            &[
                document,
                &operations.replace(":0,", ":18446744073709551614,"),
            ],
        ),
        (
            "an author",
            &[
                document,
                &operations.replace("7,", &format!("7,\"author\":{author:?},")),
            ],
        ),
        (
            "its version",
            &[
                document,
                operations,
                r#"{"version":{"name":"a\u001b","revision":1,"timeMs":1}}"#,
            ],
        ),
        ("client 7", &[begun, &snapshot(&client("[0,1,6]")), end]),
        ("client 7", &[begun, &snapshot(&client("[0,2,5]")), end]),
        ("client 7", &[begun, &snapshot(&client("[0,1,0]")), end]),
        (
            "client 7",
            &[begun, &snapshot(&client("[5,18446744073709551615,1]")), end],
        ),
        (
            "client 7",
            &[
                begun,
                &snapshot(&[client("[0,1,5]"), client("")].join(",")),
                end,
            ],
        ),
    ];
    for (expected, lines) in table {
        let fresh = tempfile::tempdir().unwrap();
        let refused = import(fresh.path(), begin.to_owned() + &lines.join("\n"), &[]);
        assert_eq!(refused.code, Some(1), "{expected}: {refused:?}");
        assert!(refused.error.contains("line "), "{refused:?}");
        assert!(refused.error.contains(expected), "{expected}: {refused:?}");
    }
    let fresh = tempfile::tempdir().unwrap();
    let refused = import(fresh.path(), b"{\"\xff", &[]);
    assert!(
        refused.error.contains("line 1: this is no text"),
        "{refused:?}"
    );
    // What is right of it is taken.
    let fresh = tempfile::tempdir().unwrap();
    let taken = snapshot(&client("[0,1,5]"));
    let all = r#"{"exported":{"documents":1}}"#;
    let text = begin.to_owned() + &[begun, &taken, end, all].join("\n");
    import(fresh.path(), text, &[]).good();
}

#[test]
fn an_import_begins_an_epoch_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (
        directory.path().join("first"),
        directory.path().join("second"),
    );
    sample(&first);
    import(&second, export(&first), &[]).good();
    let epoch = open_as(&second, Durability::Always).epoch;
    assert!(epoch > 1_700_000_000, "{epoch}");
    assert_eq!(open_as(&second, Durability::Always).epoch, epoch);
}

#[test]
fn a_store_is_inspected() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    sample(&path);
    let text = tool("inspect", &path, &[]).good();
    assert!(
        text.contains("format 3, epoch 1, durability always"),
        "{text}"
    );
    assert!(text.contains("acme"), "{text}");
    let whole = tool("inspect", &path, &["--json"]).good();
    let whole: serde_json::Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(whole["highWaterMark"], whole["commit"]);
    assert_eq!(whole["lastRun"], "stopped");
    let counts = |tenant: usize| {
        let tenant = &whole["tenants"][tenant];
        ["documents", "deleted", "gone"].map(|what| tenant[what].as_u64().unwrap())
    };
    assert_eq!((counts(0), counts(1)), ([1, 1, 1], [1, 0, 0]));

    let text = tool("inspect", &path, &["board"]).good();
    for expected in [
        "revisions 1 to 58, kept from 41 on",
        "version \"first\": revision 5",
        "revision 57: 2 operations, 10 bytes, 1970-01-01 00:00:00.029 UTC by \"ann\" (client 7)",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let paper = tool("inspect", &path, &["--json", "--tenant", "acme", "paper"]).good();
    let paper: serde_json::Value = serde_json::from_str(&paper).unwrap();
    assert_eq!(paper["revision"], 29);
    assert_eq!(paper["snapshot"]["revision"], 20);
    assert_eq!(paper["newest"].as_array().unwrap().len(), 10);
    assert_eq!(tool("inspect", &path, &["nobody"]).code, Some(1));
    let nowhere = tool("inspect", directory.path(), &[]);
    assert!(nowhere.error.contains("there is no store"), "{nowhere:?}");
}

#[test]
fn a_store_that_is_in_use_is_not_looked_at_and_one_that_is_not_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    sample(&path);
    let files = |path: &Path| -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => files.push((path.clone(), fs::read(path).unwrap())),
                }
            }
        }
        files.sort();
        files
    };
    let before = files(&path);
    for (verb, arguments) in [
        ("verify", &[][..]),
        ("inspect", &["board"]),
        ("export", &[]),
    ] {
        tool(verb, &path, arguments).good();
    }
    assert!(files(&path) == before);
    let store = open(&path);
    for verb in ["verify", "inspect", "export"] {
        let refused = tool(verb, &path, &[]);
        assert_eq!(refused.code, Some(1));
        assert!(refused.error.contains("in use"), "{refused:?}");
        assert!(
            refused.error.contains("corelay store backup"),
            "{refused:?}"
        );
    }
    drop(store);
    // As a crash leaves it.
    assert!(verify(&path).0);
}

/// Changes rows as no relay would, in a commit that is one.
fn tamper(path: &Path, change: impl FnOnce(&Keyspace, &mut OwnedWriteBatch)) {
    let database = fjall::Database::builder(path.join("database"));
    let database = database.journal_compression(fjall::CompressionType::None);
    let database = database.open().unwrap();
    let rows = database
        .keyspace("rows", KeyspaceCreateOptions::default)
        .unwrap();
    let mut batch = database.batch();
    change(&rows, &mut batch);
    let commit = CommitRow::decode(&rows.get(b"\0commit").unwrap().unwrap()).unwrap();
    let commit = CommitRow {
        number: commit.number + 1,
        previous: commit.number,
        synced: commit.number,
        sequence_min: 0,
        ..commit
    };
    batch.insert(&rows, b"\0commit", commit.encode());
    batch.commit().unwrap();
    database.persist(PersistMode::SyncAll).unwrap();
}

fn row_of(rows: &Keyspace, name: &str) -> (Vec<u8>, DocumentRow) {
    let (tenant, name) = name.split_once("::").unwrap_or(("", name));
    let key = [&[1], tenant.as_bytes(), &[0], name.as_bytes()].concat();
    let row = rows.get(&key).unwrap().unwrap();
    (key, DocumentRow::decode(&row).unwrap())
}

/// Keys of rows of a kind that belong to a document, in order.
fn keys_of(rows: &Keyspace, kind: u8, name: &str) -> Vec<Vec<u8>> {
    let number = row_of(rows, name).1.number;
    let prefix = [&[kind][..], &number.to_be_bytes()].concat();
    rows.prefix(prefix)
        .map(|row| row.key().unwrap().to_vec())
        .collect()
}

type Change = fn(&Keyspace, &mut OwnedWriteBatch);

#[test]
fn what_does_not_fit_together_is_found() {
    const PAPER: &str = "acme::paper";
    let changes: [(&str, &str, Change); 20] = [
        ("nothing", "", |_, _| {}),
        (
            "a row of operations is gone",
            "stands where",
            |rows, batch| {
                batch.remove(rows, keys_of(rows, 2, PAPER)[10].clone());
            },
        ),
        (
            "the newest operations are gone",
            "snapshot",
            |rows, batch| {
                for key in keys_of(rows, 2, PAPER).into_iter().skip(15) {
                    batch.remove(rows, key);
                }
            },
        ),
        ("two rows are swapped", "paper", |rows, batch| {
            let keys = keys_of(rows, 2, PAPER);
            for (key, other) in [(3, 4), (4, 3)] {
                let value = rows.get(&keys[other]).unwrap().unwrap();
                batch.insert(rows, keys[key].clone(), value);
            }
        }),
        ("another document's row", "paper", |rows, batch| {
            let value = rows.get(&keys_of(rows, 2, "board")[0]).unwrap().unwrap();
            batch.insert(rows, keys_of(rows, 2, PAPER)[0].clone(), value);
        }),
        (
            "a batch says that it is another",
            "says that it is",
            |rows, batch| {
                let key = keys_of(rows, 2, PAPER)[5].clone();
                let row = rows.get(&key).unwrap().unwrap();
                let record = record::encode_operations(&OperationsRecord {
                    revision: 7,
                    ..record::decode_operations(&row[24..].to_vec().into()).unwrap()
                });
                batch.insert(rows, key, [&row[..24], &record[..]].concat());
            },
        ),
        (
            "an operation does something else",
            "snapshot",
            |rows, batch| {
                let key = keys_of(rows, 2, PAPER)[5].clone();
                let mut row = rows.get(&key).unwrap().unwrap().to_vec();
                let at = row.windows(4).position(|bytes| bytes == b"word").unwrap();
                row[at..at + 4].copy_from_slice(b"WORD");
                batch.insert(rows, key, row);
            },
        ),
        (
            "a snapshot of other content",
            "another text",
            |rows, batch| {
                let key = keys_of(rows, 3, PAPER)[0].clone();
                let mut piece = rows.get(&key).unwrap().unwrap().to_vec();
                let at = piece.windows(4).position(|bytes| bytes == b"word").unwrap();
                piece[at] = b'W';
                batch.insert(rows, key, piece);
            },
        ),
        ("no snapshot", "not whole", |rows, batch| {
            batch.remove(rows, keys_of(rows, 3, "board")[0].clone());
        }),
        (
            "a version of a revision that never was",
            "its version",
            |rows, batch| {
                let key = keys_of(rows, 6, PAPER)[0].clone();
                let mut version = rows.get(&key).unwrap().unwrap().to_vec();
                version[..8].copy_from_slice(&77u64.to_be_bytes());
                batch.insert(rows, key, version);
            },
        ),
        (
            "other bytes are counted",
            "counts other bytes",
            |rows, batch| {
                let (key, mut row) = row_of(rows, PAPER);
                row.operation_bytes += 1;
                batch.insert(rows, key, row.encode());
            },
        ),
        (
            "more history than there is",
            "stands where",
            |rows, batch| {
                let (key, mut row) = row_of(rows, "board");
                row.history_from_revision -= 2;
                batch.insert(rows, key, row.encode());
            },
        ),
        (
            "less history than there is",
            "are nobody's",
            |rows, batch| {
                let (key, mut row) = row_of(rows, "board");
                row.history_from_revision += 2;
                batch.insert(rows, key, row.encode());
            },
        ),
        ("no document", "no document's", |rows, batch| {
            batch.remove(rows, row_of(rows, PAPER).0);
        }),
        (
            "two documents with one number",
            "another document's, too",
            |rows, batch| {
                let key = [&[1, 0], &b"zz"[..]].concat();
                batch.insert(rows, key, row_of(rows, "board").1.encode());
            },
        ),
        (
            "a number that was not given away",
            "not given away",
            |rows, batch| {
                let (key, mut row) = row_of(rows, "older");
                row.number = u64::MAX;
                batch.insert(rows, key, row.encode());
            },
        ),
        (
            "a deletion that is not in the list",
            "not in the list",
            |rows, batch| {
                let key = rows.prefix([4]).next().unwrap().key().unwrap();
                batch.remove(rows, key);
            },
        ),
        (
            "a live document in the list",
            "the list of deleted",
            |rows, batch| {
                let number = row_of(rows, "board").1.number.to_be_bytes();
                let key = [&[4][..], &9u64.to_be_bytes(), &number].concat();
                batch.insert(rows, key, &b"board"[..]);
            },
        ),
        (
            "what is needed is to be removed",
            "is to be removed",
            |rows, batch| {
                let number = row_of(rows, PAPER).1.number.to_be_bytes();
                let key = [&[5][..], &number].concat();
                batch.insert(rows, key, [0xff; 16]);
            },
        ),
        ("rows that nobody knows", "nobody knows", |rows, batch| {
            batch.insert(rows, [9, 9], "?");
        }),
    ];
    let image = tempfile::tempdir().unwrap();
    sample(&image.path().join("data"));
    for (what, expected, change) in changes {
        let damaged = tempfile::tempdir().unwrap();
        copy(image.path(), damaged.path());
        let path = damaged.path().join("data");
        tamper(&path, change);
        let (is_sound, said) = verify(&path);
        assert_eq!(is_sound, expected.is_empty(), "{what}: {said}");
        assert!(said.contains(expected), "{what}: {said}");
    }
}

/// Flips some bits of a file.
fn flip(path: &Path, seed: &mut Seed) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let at = seed.below(file.metadata().unwrap().len());
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ (1 + seed.below(255)) as u8], at)
        .unwrap();
}

/// A closed store whose documents are in tables.
fn in_tables() -> TempDir {
    let image = tempfile::tempdir().unwrap();
    sample(image.path());
    let database = fjall::Database::builder(image.path().join("database"));
    let database = database.journal_compression(fjall::CompressionType::None);
    let database = database.open().unwrap();
    let rows = database
        .keyspace("rows", KeyspaceCreateOptions::default)
        .unwrap();
    rows.rotate_memtable_and_wait().unwrap();
    drop((rows, database));
    image
}

#[test]
fn every_flipped_bit_in_a_table_is_found() {
    let image = in_tables();
    assert!(verify(image.path()).0);
    let mut seed = Seed(11);
    for round in 0..rounds(25) {
        let damaged = tempfile::tempdir().unwrap();
        copy(image.path(), damaged.path());
        let tables = fs::read_dir(damaged.path().join("database/keyspaces/1/tables")).unwrap();
        let mut tables: Vec<_> = tables.map(|table| table.unwrap().path()).collect();
        tables.sort();
        assert!(!tables.is_empty());
        flip(&tables[seed.below(tables.len() as u64) as usize], &mut seed);
        let (is_sound, said) = verify(damaged.path());
        assert!(!is_sound, "round {round}: {said}");
    }
}

#[test]
fn a_torn_or_flipped_journal_is_found_or_harmless() {
    let image = tempfile::tempdir().unwrap();
    sample(image.path());
    // The preallocated part is cut off when it is opened.
    open(image.path()).close().unwrap();
    let expected = export(image.path());
    let journals = |path: &Path| {
        let entries = fs::read_dir(path.join("database")).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        paths
            .find(|path| path.extension().is_some_and(|e| e == "jnl"))
            .unwrap()
    };
    let mut seed = Seed(12);
    let mut found = 0;
    for round in 0..rounds(25) {
        let damaged = tempfile::tempdir().unwrap();
        copy(image.path(), damaged.path());
        let journal = journals(damaged.path());
        match round % 3 {
            0 => {
                let file = File::options().write(true).open(&journal).unwrap();
                let length = file.metadata().unwrap().len();
                file.set_len(seed.below(length)).unwrap();
            }
            _ => flip(&journal, &mut seed),
        }
        let before = fs::read(&journal).unwrap();
        match verify(damaged.path()).0 {
            true => assert_eq!(export(damaged.path()), expected),
            false => found += 1,
        }
        assert!(fs::read(&journal).unwrap() == before, "it stays as it was");
    }
    assert!(found > rounds(25) / 2, "{found}");
}

/// Every command of `docs/store.md`, one after the other, beside a store in `./data`.
#[test]
fn the_commands_of_the_documentation_work() {
    let directory = tempfile::tempdir().unwrap();
    sample(&directory.path().join("data"));
    let binary = Path::new(env!("CARGO_BIN_EXE_corelay"));
    let folder = binary.parent().unwrap().to_str().unwrap();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    let documentation = include_str!("../../docs/store.md");
    let blocks = documentation.split("```console\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap());
    let commands: Vec<&str> = blocks
        .flat_map(|block| block.lines().filter_map(|line| line.strip_prefix("$ ")))
        .collect();
    assert!(commands.len() > 8);
    for command in commands {
        let output = std::process::Command::new("sh")
            .args(["-c", command])
            .current_dir(directory.path())
            .env("PATH", &path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
    }
    let export = |store: &str| export(&directory.path().join(store));
    assert_eq!(export("other"), export("data"));
}
