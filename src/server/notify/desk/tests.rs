//! The desk with a store that does what it is asked for at once.

use super::*;
use crate::store::Standing;

const SECOND: Duration = Duration::from_secs(1);
const NOW_MS: u64 = 1_000_000_000;

/// A desk, the time, and a store that does what it is asked for at once.
struct Office {
    desk: Desk,
    now: Instant,
    sequence: u64,
    /// What is being sent.
    sent: VecDeque<Arc<Notice>>,
    /// What else was asked of the store.
    asked: Vec<NoticeWrite>,
}

impl Office {
    fn new(limits: Notify, unsent: Unsent) -> Self {
        let now = Instant::now();
        let sequence = unsent.notices.last().map_or(0, |last| last.sequence);
        Self {
            desk: Desk::new(limits, unsent, 1, now),
            now,
            sequence,
            sent: VecDeque::new(),
            asked: Vec::new(),
        }
    }

    fn notice(&mut self, document: &str, news: News) -> Arc<Notice> {
        self.sequence += 1;
        Arc::new(Notice {
            sequence: self.sequence,
            news,
            document: document.into(),
            kind: "log".into(),
            time_ms: NOW_MS,
            from_revision: 0,
            revision: 0,
        })
    }

    fn add(&mut self, document: &str, news: News) {
        let notice = self.notice(document, news);
        self.tell(NoticeChange::Added(notice));
    }

    fn tell(&mut self, change: NoticeChange) {
        self.desk.handle_store(change, self.now);
        self.work();
    }

    fn occupy(&mut self, document: &str, is_occupied: bool) {
        let occupancy = Occupancy {
            document: document.into(),
            kind: "log".into(),
            is_occupied,
        };
        self.desk.handle_occupancy(occupancy, self.now);
        self.work();
    }

    fn work(&mut self) {
        while let Some(action) = self.desk.poll(self.now, NOW_MS) {
            match action {
                Action::Send(notice) => self.sent.push_back(notice),
                Action::Ask(NoticeWrite::Remove { sequence }) => {
                    let document = self.document_of(sequence);
                    let removed = NoticeChange::Removed { sequence, document };
                    self.desk.handle_store(removed, self.now);
                }
                Action::Ask(NoticeWrite::Peers {
                    document,
                    are_there,
                    ..
                }) => {
                    let news = match are_there {
                        true => News::PeersJoined,
                        false => News::PeersLeft,
                    };
                    let notice = self.notice(&document, news);
                    self.desk
                        .handle_store(NoticeChange::Added(notice), self.now);
                }
                Action::Ask(ask) => self.asked.push(ask),
            }
        }
    }

    fn document_of(&self, sequence: u64) -> Arc<str> {
        let mut cases = self.desk.cases.iter();
        let has_it = |case: &Case| case.queue.front().is_some_and(|it| it.sequence == sequence);
        let (document, _) = cases.find(|(_, case)| has_it(case)).expect("it is there");
        Arc::clone(document)
    }

    /// The receiver answers what was sent first.
    fn answer(&mut self, answer: Answer) -> (u64, bool) {
        let notice = self.sent.pop_front().expect("something is being sent");
        let lost = self.desk.counts().lost;
        self.desk.handle_answer(&notice, answer, self.now, NOW_MS);
        let is_given_up = self.desk.counts().lost > lost;
        self.work();
        (notice.sequence, is_given_up)
    }

    /// Until there is something to do. Returns how long that was.
    fn wait(&mut self) -> Duration {
        let until = self.desk.next_timeout().expect("there will be something");
        let waited = until.saturating_duration_since(self.now);
        self.now = until;
        self.work();
        waited
    }

    fn sending(&self) -> Vec<u64> {
        self.sent.iter().map(|notice| notice.sequence).collect()
    }

    fn changed(&mut self, document: &str, revision: u64) {
        let document = document.into();
        self.tell(NoticeChange::Changed { document, revision });
    }

    fn asked_for_changes(&mut self) -> Vec<Option<u64>> {
        let asked = self.asked.drain(..).map(|ask| match ask {
            NoticeWrite::Changed { if_revision, .. } => if_revision,
            other => panic!("{other:?}"),
        });
        asked.collect()
    }
}

fn limits() -> Notify {
    Notify {
        requests_max: 2,
        ..Notify::default()
    }
}

#[test]
fn each_document_s_notices_go_one_after_the_other_and_documents_beside_each_other() {
    let mut office = Office::new(limits(), Unsent::default());
    for document in ["a", "a", "b", "c"] {
        office.add(document, News::Created);
    }
    assert_eq!(office.sending(), [1, 3], "two at a time");
    assert_eq!(office.answer(Answer::Taken), (1, false));
    assert_eq!(office.sending(), [3, 2], "the oldest that may be is");
    office.answer(Answer::Taken);
    assert_eq!(office.sending(), [2, 4]);
    office.answer(Answer::Taken);
    office.answer(Answer::Taken);
    assert_eq!(office.desk.next_timeout(), None);
    let counts = office.desk.counts();
    assert_eq!((counts.sent, counts.queued, counts.oldest_ms), (4, 0, 0));
    assert!(office.desk.cases.is_empty(), "nothing is kept of it");
}

#[test]
fn one_that_is_refused_comes_again_later_and_later_and_holds_up_only_its_document() {
    let mut office = Office::new(limits(), Unsent::default());
    office.add("a", News::Created);
    office.add("a", News::Deleted);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        assert_eq!(office.answer(Answer::Refused), (1, false));
        office.add("b", News::Created);
        let (sequence, _) = office.answer(Answer::Taken);
        assert!(sequence > 2, "the other document's");
        pauses.push(office.wait());
    }
    for (pause, whole) in pauses
        .iter()
        .zip([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0])
    {
        let part = pause.as_secs_f64() / whole;
        assert!((0.75..=1.0).contains(&part), "{pauses:?}");
    }
    assert_eq!(office.desk.counts().retried, 9);
    office.answer(Answer::Taken);
    assert_eq!(office.sending(), [2]);
}

#[test]
fn while_the_receiver_is_away_one_notice_at_a_time_looks_whether_it_is_back() {
    let mut office = Office::new(limits(), Unsent::default());
    for document in ["a", "b", "c", "d"] {
        office.add(document, News::Created);
    }
    assert_eq!(office.answer(Answer::Away), (1, false));
    assert_eq!(office.answer(Answer::Away), (2, false));
    let mut probed = Vec::new();
    for _ in 0..5 {
        office.wait();
        probed.push(office.sending());
        office.answer(Answer::Away);
    }
    assert!(probed.iter().all(|probe| probe.len() == 1), "{probed:?}");
    office.wait();
    office.answer(Answer::Taken);
    assert_eq!(office.sending().len(), 2, "everything goes on at once");
    while !office.sent.is_empty() {
        office.answer(Answer::Taken);
    }
    assert_eq!(office.desk.counts().sent, 4);
}

#[test]
fn what_is_too_old_is_given_up_after_one_more_attempt() {
    let mut old = Office::new(limits(), Unsent::default());
    let mut notice = Notice::clone(&old.notice("a", News::Created));
    notice.time_ms -= 24 * 3_600_000 + 1;
    let notices = vec![Arc::new(notice), old.notice("a", News::Deleted)];
    let unsent = Unsent {
        notices,
        standings: Vec::new(),
    };
    let mut office = Office::new(limits(), unsent);
    office.work();
    assert_eq!(office.answer(Answer::Refused), (1, true));
    assert_eq!(office.sending(), [2]);
    assert_eq!(office.answer(Answer::Refused), (2, false));
    assert_eq!(office.desk.counts().lost, 1);
}

#[test]
fn who_is_gone_is_sent_nothing_more() {
    let mut office = Office::new(limits(), Unsent::default());
    office.add("a", News::Created);
    office.answer(Answer::Gone);
    office.add("b", News::Created);
    assert_eq!(
        (office.sending(), office.desk.next_timeout()),
        (vec![], None)
    );
    assert!(office.desk.counts().is_gone);
    assert_eq!(office.desk.counts().queued, 2);
}

#[test]
fn a_change_is_asked_for_when_the_document_is_quiet_or_has_not_been_for_too_long() {
    let mut office = Office::new(limits(), Unsent::default());
    office.changed("a", 5);
    assert_eq!(office.wait(), 2 * SECOND);
    assert_eq!(office.asked_for_changes(), [Some(5)]);
    // It has gone on.
    let mut asked = Vec::new();
    for revision in 6.. {
        office.changed("a", revision);
        office.wait();
        asked.extend(office.asked_for_changes());
        if asked.last() == Some(&None) {
            break;
        }
    }
    let expected: Vec<_> = (6..19).map(Some).chain([None]).collect();
    assert_eq!(asked, expected, "after 30 seconds whatever its revision is");
    office.add("a", News::Changed);
    // While that is not taken, all that follows is one change.
    office.changed("a", 30);
    office.now += 5 * SECOND;
    office.work();
    assert_eq!(office.asked_for_changes(), []);
    office.answer(Answer::Taken);
    assert_eq!(office.asked_for_changes(), [Some(30)]);
    let document = "a".into();
    office.tell(NoticeChange::Unchanged { document });
    assert!(office.desk.cases.is_empty());
    assert_eq!(office.desk.counts().changed, 0);
}

#[test]
fn peers_are_told_when_it_has_been_so_for_a_while() {
    let mut office = Office::new(limits(), Unsent::default());
    office.occupy("a", true);
    office.now += 9 * SECOND;
    office.occupy("a", false);
    assert_eq!(office.desk.next_timeout(), None, "a visit that was short");
    assert!(office.desk.cases.is_empty());
    office.occupy("a", true);
    assert_eq!(office.wait(), 10 * SECOND);
    assert_eq!(office.sent[0].news, News::PeersJoined);
    office.occupy("a", false);
    office.now += 9 * SECOND;
    office.occupy("a", true);
    assert_eq!(office.desk.next_timeout(), None, "it was back in time");
    office.occupy("a", false);
    assert_eq!(office.wait(), 10 * SECOND);
    office.answer(Answer::Taken);
    assert_eq!(office.sent[0].news, News::PeersLeft);
    office.answer(Answer::Taken);
    assert!(office.desk.cases.is_empty());
}

#[test]
fn after_a_restart_whoever_does_not_come_back_has_left() {
    let standing = |changed_after| Standing {
        changed_after,
        has_peers: true,
    };
    let unsent = Unsent {
        notices: Vec::new(),
        standings: vec![
            ("a".into(), standing(None)),
            ("b".into(), standing(Some(3))),
        ],
    };
    let mut office = Office::new(limits(), unsent);
    office.occupy("a", true);
    office.wait();
    assert_eq!(office.asked_for_changes(), [Some(3)]);
    assert_eq!(office.wait(), 8 * SECOND);
    assert_eq!(&*office.sent[0].document, "b");
    assert_eq!(office.sent[0].news, News::PeersLeft);
    assert_eq!(office.sent.len(), 1);
}

#[test]
fn where_there_is_no_room_peers_are_told_later() {
    let mut office = Office::new(limits(), Unsent::default());
    office.desk.handle_occupancy(
        Occupancy {
            document: "a".into(),
            kind: "log".into(),
            is_occupied: true,
        },
        office.now,
    );
    office.now += 10 * SECOND;
    let asked = office.desk.poll(office.now, NOW_MS);
    assert!(matches!(
        asked,
        Some(Action::Ask(NoticeWrite::Peers { .. }))
    ));
    let document = "a".into();
    office.tell(NoticeChange::Full { document });
    assert_eq!(office.wait(), 10 * SECOND);
    assert_eq!(office.sent[0].news, News::PeersJoined);
}

#[test]
fn new_limits_hold_for_what_waits_and_whoever_was_away_or_gone_is_tried_at_once() {
    let mut office = Office::new(limits(), Unsent::default());
    for document in ["a", "b", "c"] {
        office.add(document, News::Created);
    }
    office.answer(Answer::Away);
    office.answer(Answer::Gone);
    office.changed("changed", 7);
    office.occupy("occupied", true);
    assert!(office.sending().is_empty());
    let shorter = Notify {
        requests_max: 3,
        debounce: SECOND / 10,
        peers_debounce: SECOND / 5,
        ..limits()
    };
    office.desk.set_limits(shorter, office.now);
    office.work();
    assert_eq!(office.sending(), [1, 2, 3]);
    assert!(!office.desk.counts().is_gone);
    assert_eq!(office.wait(), SECOND / 10);
    assert_eq!(office.asked_for_changes(), [Some(7)]);
    assert_eq!(office.wait(), SECOND / 10);
    assert_eq!(office.desk.counts().queued, 4, "of the peers, too");

    // What waits for less than it would by now waits no longer.
    office.changed("other", 1);
    let longer = Notify {
        debounce: 10 * SECOND,
        ..limits()
    };
    office.desk.set_limits(longer, office.now);
    assert_eq!(office.wait(), SECOND / 10);
    assert_eq!(office.asked_for_changes(), [Some(1)]);
}
