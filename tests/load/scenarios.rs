//! Named runs, what they write, and the comparison of two of them.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::common::Server;
use crate::support::load;
use serde_json::{Value, json};

fn compare(base: &Path, new: &str, more: &[&str]) -> Output {
    let binary = Command::new(env!("CARGO_BIN_EXE_corelay"))
        .arg("compare")
        .arg(base)
        .arg(new)
        .args(more)
        .output();
    binary.expect("the binary runs")
}

#[test]
fn a_scenario_runs_small_and_late_clients_join_what_was_written() {
    let server = Server::spawn(&[]);
    let ended = load(
        &format!("ws://{}", server.websocket),
        "--scenario join-storm --documents 3 --warm-up 0.5 --duration 1 --verify",
    );
    ended.expect_kept();
    assert_eq!(ended.figures["scenario"], "join-storm");
    assert_eq!(ended.number("clients"), 30.0);
    assert_eq!(ended.number("joiners"), 27.0);
    assert_eq!(ended.number("latency_us.join.count"), 27.0);
    assert_eq!(ended.number("operations.sent"), 1000.0);
    assert_eq!(ended.figures["errors"], json!({}));
}

#[test]
fn presence_has_latencies_and_only_active_documents_are_written_in() {
    let server = Server::spawn(&[]);
    let ended = load(
        &format!("tcp://{}", server.tcp),
        "--scenario presence --documents 4 --clients 3 --active-percent 50 --burst 2 --duration 1 --warm-up 0 --verify",
    );
    ended.expect_kept();
    assert_eq!(ended.number("writers"), 2.0);
    assert_eq!(ended.number("operations.sent"), 20.0);
    assert_eq!(ended.number("latency_us.delivery_healthy.count"), 40.0);
    // Twelve clients move ten times; newer updates may stand for older ones.
    let seen = ended.number("latency_us.presence.count");
    assert!((1.0..=240.0).contains(&seen), "{}", ended.output);
    assert_eq!(ended.figures["durability"], "always");
}

#[test]
fn a_report_says_what_the_load_itself_cost_and_plots_it() {
    let directory = tempfile::TempDir::new().expect("there is room for a directory");
    let html = directory.path().join("run.html");
    let server = Server::spawn(&[]);
    let ended = load(
        &format!("tcp://{}", server.tcp),
        &format!(
            "--clients 4 --operations-per-second 200 --duration 1 --warm-up 0 --html {}",
            html.display()
        ),
    );
    assert!(
        ended.success && ended.output.contains("it could take"),
        "{}",
        ended.output
    );
    assert!(ended.number("load.cpu_s") > 0.0);
    assert!(ended.number("load.deliveries_per_second_max") > 0.0);
    let delivered = ended.figures["timeline"]["delivered_per_second"].as_array();
    let slice = ended.number("timeline.slice_s");
    let delivered: f64 = delivered
        .expect("a list")
        .iter()
        .filter_map(Value::as_f64)
        .sum();
    assert_eq!(
        (delivered * slice).round(),
        ended.number("operations.delivered")
    );
    let curve = ended.figures["percentiles_us"]["ack"]
        .as_array()
        .expect("a curve");
    let micros = curve
        .iter()
        .map(|point| point[1].as_f64().expect("microseconds"));
    assert!(micros.is_sorted() && curve.len() > 3, "{curve:?}");

    let page = std::fs::read_to_string(html).expect("it was written");
    assert_eq!(page.matches("<svg").count(), 3);
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    assert!(
        !page.contains("http") && !page.contains("<script"),
        "it needs nothing else"
    );
}

#[test]
fn two_runs_are_compared_and_nonsense_is_refused() {
    let directory = tempfile::TempDir::new().expect("there is room for a directory");
    let report = |name: &str, clients: u64, p50: u64| {
        let mut report = json!({
            "per_second": { "delivered": 100.0 },
            "latency_us": { "delivery_healthy": { "p50": p50 } },
            "clients": clients,
        });
        for key in [
            "kind",
            "documents",
            "writers",
            "payload_bytes",
            "operations_per_second",
            "burst",
            "presence_rate",
            "slow",
            "slow_bytes_per_second",
            "stalled",
            "joiners",
            "duration_s",
        ] {
            report[key] = json!(1);
        }
        let path = directory.path().join(name);
        std::fs::write(&path, report.to_string()).expect("the directory is ours");
        path.display().to_string()
    };
    let base = report("base", 10, 200);
    let base = Path::new(&base);
    let runs = [
        report("a", 10, 300),
        report("b", 10, 100),
        report("c", 10, 9000),
    ]
    .join(",");
    let html = directory.path().join("both.html").display().to_string();
    let compared = compare(base, &runs, &["--html", &html]);
    let table = String::from_utf8_lossy(&compared.stdout).into_owned();
    assert!(compared.status.success(), "{compared:?}");
    let p50 = table.lines().find(|line| line.starts_with("delivery p50"));
    let words: Vec<&str> = p50
        .unwrap_or_else(|| panic!("{table}"))
        .split_whitespace()
        .collect();
    assert_eq!(
        words[3..],
        ["200.00", "300.00", "1.500", "lower"],
        "{table}"
    );
    assert!(table.contains("One run says little"), "{table}");
    // Whoever has read enough of it may close it.
    let mut unread = Command::new(env!("CARGO_BIN_EXE_corelay"))
        .arg("compare")
        .args([base.as_os_str(), OsStr::new(&runs)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it was built");
    drop(unread.stdout.take());
    let unread = unread.wait_with_output().expect("it ends");
    assert!(
        unread.status.success() && unread.stderr.is_empty(),
        "{unread:?}"
    );
    assert!(std::fs::read_to_string(html).is_ok_and(|page| page.contains("</html>")));

    let one = [report("d", 10, 200), report("e", 10, 310)].join(",");
    for (new, mark) in [
        ([311, 9000], None),
        ([310, 9000], Some("~")),
        ([1, 199], None),
    ] {
        let new = new
            .map(|p50| report(&format!("at {p50}"), 10, p50))
            .join(",");
        let compared = compare(Path::new(&one), &new, &[]);
        let table = String::from_utf8_lossy(&compared.stdout).into_owned();
        let p50 = table.lines().find(|line| line.starts_with("delivery p50"));
        let words = p50.unwrap_or_else(|| panic!("{table}")).split_whitespace();
        assert_eq!(
            words.skip_while(|word| *word != "lower").nth(1),
            mark,
            "{table}"
        );
        assert!(table.contains("\n~: "), "{table}");
    }

    let stalled = std::fs::read_to_string(base).expect("it was written");
    let stalled = stalled.replace("\"stalled\":1", "\"stalled\":2");
    let disturbed = directory.path().join("disturbed");
    std::fs::write(&disturbed, stalled).expect("the directory is ours");
    let nonsense = directory.path().join("nonsense");
    std::fs::write(&nonsense, "not JSON").expect("the directory is ours");
    let other = directory.path().join("other");
    std::fs::write(&other, "{\"kind\": 1}").expect("the directory is ours");
    for (new, why) in [
        (report("larger", 20, 100), "clients is 20 instead of 10"),
        (disturbed.display().to_string(), "stalled is 2 instead of 1"),
        (nonsense.display().to_string(), "is not JSON"),
        (other.display().to_string(), "is not a report"),
        ("/does/not/exist".to_owned(), "/does/not/exist"),
    ] {
        let refused = compare(base, &new, &[]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(why), "{said}");
    }
}
