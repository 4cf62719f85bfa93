//! Documents by name: lists, deletions, and taking those back.

use corelay::client::{Event, HistoryOptions, ListOptions, RequestError, RequestKey};
use corelay::codec::wire::{self, ErrorCode, event::Body as Told, request::Body};

use crate::fixture::Play;

fn live() -> Play {
    let mut play = Play::new();
    play.connect();
    play.events();
    play
}

fn watching(prefix: &str) -> ListOptions {
    ListOptions {
        prefix: prefix.to_owned(),
        watch: true,
        ..ListOptions::default()
    }
}

/// The id of the one request that is sent, and the document or prefix that it names.
fn sent(play: &mut Play) -> Option<(u64, String)> {
    let mut sent = play.sent();
    assert!(sent.len() <= 1, "{sent:?}");
    Some(match sent.pop()? {
        Body::List(list) => (list.request_id, format!("list {}", list.prefix)),
        Body::Delete(delete) if delete.undo => {
            (delete.request_id, format!("restore {}", delete.document_id))
        }
        Body::Delete(delete) => (delete.request_id, format!("delete {}", delete.document_id)),
        Body::History(it) => (
            it.request_id,
            format!("history {} {}", it.document_id, it.from_revision),
        ),
        Body::SaveVersion(it) => (
            it.request_id,
            format!("save {} {} {}", it.document_id, it.name, it.revision),
        ),
        Body::ListVersions(it) => (it.request_id, format!("versions {}", it.document_id)),
        Body::DeleteVersion(it) => (
            it.request_id,
            format!("unsave {} {}", it.document_id, it.name),
        ),
        other => panic!("{other:?}"),
    })
}

fn directory(play: &mut Play, request_id: u64) {
    play.tell(Told::Directory(wire::Directory {
        request_id,
        documents: vec![wire::DocumentEntry {
            document_id: "a".to_owned(),
            kind: "log".to_owned(),
        }],
        has_more: true,
    }));
}

fn refuse(play: &mut Play, request_id: u64, code: ErrorCode, retry_after_ms: u32) {
    play.tell(Told::Error(wire::Error {
        code: code.into(),
        retryable: retry_after_ms > 0,
        retry_after_ms,
        request_id,
        ..wire::Error::default()
    }));
}

fn update(play: &mut Play) {
    play.tell(Told::DirectoryUpdate(wire::DirectoryUpdate {
        deleted: vec!["b".to_owned()],
        ..wire::DirectoryUpdate::default()
    }));
}

fn watched(play: &mut Play) -> Vec<RequestKey> {
    update(play);
    let told = play.events().into_iter();
    let told = told.filter_map(|event| match event {
        Event::DirectoryUpdate { request, .. } => Some(request),
        _ => None,
    });
    told.collect()
}

#[test]
fn questions_are_asked_one_after_the_other_and_answered() {
    let mut play = live();
    let list = play.session.list(watching("a")).expect("room");
    let delete = play.session.delete("paper").expect("room");
    let restore = play.session.restore("paper").expect("room");
    let (id, what) = sent(&mut play).expect("the first");
    assert_eq!(what, "list a");
    assert_eq!(sent(&mut play), None);
    directory(&mut play, id);
    directory(&mut play, id);
    let events = play.events();
    assert!(
        matches!(&events[..], [Event::Directory { request, documents, has_more: true }]
            if *request == list && documents[0].document_id == "a"),
        "{events:?}"
    );
    for (key, expected, undone) in [
        (delete, "delete paper", false),
        (restore, "restore paper", true),
    ] {
        let (request_id, what) = sent(&mut play).expect("the next");
        assert_eq!(what, expected);
        play.tell(Told::Deleted(wire::Deleted {
            request_id,
            document_id: "paper".to_owned(),
            undone,
        }));
        assert_eq!(
            play.events(),
            [Event::Deleted {
                request: key,
                document_id: "paper".to_owned(),
                undone
            }]
        );
    }
    assert_eq!(sent(&mut play), None);
    assert_eq!(watched(&mut play), [list]);
}

#[test]
fn a_document_s_past_is_asked_about_and_told() {
    let mut play = live();
    let history = play.session.history(HistoryOptions {
        document_id: "paper".to_owned(),
        from_revision: 7,
        ..HistoryOptions::default()
    });
    let save = play.session.save_version("paper", "draft", 3);
    let list = play.session.list_versions("paper");
    let unsave = play.session.delete_version("paper", "draft");
    let requests = [history, save, list, unsave].map(|key| key.expect("room"));
    let version = wire::Version {
        name: "draft".to_owned(),
        revision: 3,
        ..wire::Version::default()
    };
    for (place, expected) in [
        "history paper 7",
        "save paper draft 3",
        "versions paper",
        "unsave paper draft",
    ]
    .into_iter()
    .enumerate()
    {
        let (request_id, what) = sent(&mut play).expect("the next");
        assert_eq!(what, expected);
        let document_id = "paper".to_owned();
        let request = requests[place];
        let page = wire::HistoryPage {
            request_id,
            kind: "text".to_owned(),
            ..wire::HistoryPage::default()
        };
        let (told, event) = match place {
            0 => (
                Told::HistoryPage(page.clone()),
                Event::History { request, page },
            ),
            1 => (
                Told::VersionSaved(wire::VersionSaved {
                    request_id,
                    document_id,
                    version: Some(version.clone()),
                }),
                Event::VersionSaved {
                    request,
                    version: version.clone(),
                },
            ),
            2 => (
                Told::Versions(wire::Versions {
                    request_id,
                    document_id,
                    versions: vec![version.clone()],
                }),
                Event::Versions {
                    request,
                    versions: vec![version.clone()],
                },
            ),
            _last => (
                Told::VersionDeleted(wire::VersionDeleted {
                    request_id,
                    document_id,
                    name: "draft".to_owned(),
                }),
                Event::VersionDeleted {
                    request,
                    name: "draft".to_owned(),
                },
            ),
        };
        play.tell(told.clone());
        assert_eq!(play.events(), [event]);
        // What nobody waits for is nothing.
        play.tell(told);
        assert_eq!(play.events(), []);
    }
    for id in ["", "a\nb"] {
        assert_eq!(play.session.list_versions(id), Err(RequestError::IdInvalid));
        let options = HistoryOptions {
            document_id: id.to_owned(),
            ..HistoryOptions::default()
        };
        assert_eq!(play.session.history(options), Err(RequestError::IdInvalid));
    }
}

#[test]
fn a_question_that_is_refused_for_now_is_asked_again_before_those_behind_it() {
    let mut play = live();
    let delete = play.session.delete("paper").expect("room");
    play.session.restore("paper").expect("room");
    let (id, _) = sent(&mut play).expect("the first");
    refuse(&mut play, id, ErrorCode::RateLimited, 700);
    assert!(matches!(
        &play.events()[..],
        [Event::Error { document: None, .. }]
    ));
    play.pass(699);
    assert_eq!(sent(&mut play), None);
    play.pass(1);
    assert_eq!(sent(&mut play), Some((id, "delete paper".to_owned())));
    refuse(&mut play, id, ErrorCode::Forbidden, 0);
    let events = play.events();
    assert!(
        matches!(&events[..], [Event::RequestRefused { request, refusal }]
            if *request == delete && refusal.is(ErrorCode::Forbidden)),
        "{events:?}"
    );
    assert!(matches!(sent(&mut play), Some((_, what)) if what == "restore paper"));
}

#[test]
fn what_was_not_answered_is_asked_on_the_next_connection_and_so_is_what_is_watched() {
    let mut play = live();
    let list = play.session.list(watching("a")).expect("room");
    let (id, _) = sent(&mut play).expect("a list");
    directory(&mut play, id);
    play.session.delete("paper").expect("room");
    let (delete, _) = sent(&mut play).expect("a deletion");
    play.session.handle_disconnected(play.now);
    play.pass(1300);
    play.connect();
    play.events();
    assert_eq!(sent(&mut play), Some((id, "list a".to_owned())));
    directory(&mut play, id);
    assert!(matches!(&play.events()[..], [Event::Directory { request, .. }] if *request == list));
    assert_eq!(sent(&mut play), Some((delete, "delete paper".to_owned())));
    assert_eq!(watched(&mut play), [list]);
}

#[test]
fn a_list_ends_the_watch_of_the_one_before() {
    let mut play = live();
    play.session.list(watching("a")).expect("room");
    let (id, _) = sent(&mut play).expect("a list");
    directory(&mut play, id);
    play.session.list(ListOptions::default()).expect("room");
    let (id, _) = sent(&mut play).expect("another");
    directory(&mut play, id);
    assert_eq!(watched(&mut play), []);
    play.session.handle_disconnected(play.now);
    play.pass(1300);
    play.connect();
    assert_eq!(sent(&mut play), None);
}

#[test]
fn what_waits_is_bounded_and_named_as_documents_are() {
    let mut play = Play::new();
    for _ in 0..64 {
        play.session.delete("paper").expect("room");
    }
    assert_eq!(play.session.delete("paper"), Err(RequestError::Full));
    let long = "x".repeat(257);
    for id in ["", "a\nb", &long] {
        assert_eq!(play.session.restore(id), Err(RequestError::IdInvalid));
    }
    let list = play.session.list(watching(&long));
    assert_eq!(list, Err(RequestError::IdInvalid));
}
