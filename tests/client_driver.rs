//! The blocking client and its texts against the real relay.

mod common;

use std::time::Duration;

use common::{PATIENCE, Server};
use corelay::client::{Client, Event, Roster, TextDocument};
use corelay::codec::wire;
use corelay::text::Operation;

/// Somebody at a keyboard.
struct Editor {
    client: Client,
    text: TextDocument,
    /// What the view shows, kept up only by what `handle_event` returns and by the editor's own edits.
    view: String,
    /// Everybody else who is present.
    here: Roster,
    connections: usize,
}

impl Editor {
    fn new(url: &str, number: u8) -> Self {
        let mut client = Client::new(url, common::settings(number)).expect("a valid URL");
        let text = TextDocument::open(client.session(), "novel", true);
        Self {
            client,
            text,
            view: String::new(),
            here: Roster::default(),
            connections: 0,
        }
    }

    fn show(&mut self, change: &Operation) {
        let mut text = corelay::text::Text::from(self.view.as_str());
        text.apply(change).expect("changes fit the view");
        self.view = text.to_string();
    }

    fn step(&mut self) {
        let now = self.client.now();
        if let Some(change) = self.text.poll(self.client.session(), now) {
            self.show(&change);
        }
        let Some(event) = self.client.next_event(Duration::from_millis(2)) else {
            return;
        };
        let changes = self
            .text
            .handle_event(&event, self.client.session())
            .expect("the relay agrees with the text");
        for change in &changes {
            self.show(change);
        }
        match event {
            Event::Connected { .. } => self.connections += 1,
            Event::Presence {
                presences, full, ..
            } => {
                self.here.update(&presences, full);
            }
            Event::Violation(violation) => panic!("{violation}"),
            _ => {}
        }
    }

    /// Replaces `deleted` characters at `position` by `inserted`.
    fn edit(&mut self, position: usize, deleted: usize, inserted: &str) {
        let edit = Operation::splice(position, deleted, inserted);
        let now = self.client.now();
        self.text.edit(edit.clone(), now).expect("it fits");
        self.show(&edit);
    }
}

fn until(editors: &mut [Editor], what: &str, mut is_so: impl FnMut(&mut [Editor]) -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !is_so(editors) {
        assert!(
            std::time::Instant::now() < deadline,
            "{what} does not happen"
        );
        for editor in &mut *editors {
            editor.step();
        }
    }
}

fn agree(editors: &mut [Editor]) -> bool {
    let first = editors[0].view.clone();
    editors.iter().all(|editor| {
        editor.text.pending_operations() == 0
            && editor.view == first
            && editor.text.revision() == editors[0].text.revision()
    })
}

#[test]
fn two_people_write_one_text_through_a_crash_of_the_relay() {
    let directory = tempfile::TempDir::new().expect("there is room for a directory");
    let mut server = Server::spawn_in(directory.path(), &[]);
    let addresses = [
        format!("listen.websocket={}", server.websocket),
        format!("listen.tcp={}", server.tcp),
    ];
    let mut editors = [
        Editor::new(&format!("ws://{}", server.websocket), 1),
        Editor::new(&format!("tcp://{}", server.tcp), 2),
    ];
    until(&mut editors, "opening", |editors| {
        editors.iter().all(|editor| editor.text.text().is_some())
    });

    let typing = wire::Presence {
        is_typing: true,
        ..wire::Presence::default()
    };
    let key = editors[0].text.key();
    editors[0].client.session().announce(key, typing);
    until(&mut editors, "being seen", |editors| {
        let id = editors[0].client.session().client_id();
        editors[1].here.len() == 1 && editors[1].here.get(id).is_some()
    });

    // Both write at the same places, without waiting for each other.
    for round in 0..20 {
        editors[0].edit(0, 0, "left ");
        let view = editors[1].view.clone();
        let middle = view.chars().take(view.chars().count() / 2);
        let position = middle.clone().map(char::len_utf16).sum();
        let next = view.chars().nth(middle.count()).filter(|_| round % 3 == 0);
        editors[1].edit(position, next.map_or(0, char::len_utf16), "middle 𝄞 ");
        editors[0].step();
        editors[1].step();
    }
    until(&mut editors, "agreement", agree);
    assert!(editors[0].view.contains("left ") && editors[0].view.contains("middle"));

    // And go on while the relay is away.
    server.kill();
    until(&mut editors, "noticing", |editors| {
        editors
            .iter_mut()
            .all(|editor| !editor.client.session().is_live())
    });
    editors[0].edit(0, 0, "written offline by one, ");
    editors[1].edit(0, 0, "written offline by two, ");
    let settings: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let server = Server::spawn_in(directory.path(), &settings);
    until(&mut editors, "agreement after the crash", |editors| {
        agree(editors) && editors.iter().all(|editor| editor.connections == 2)
    });
    for words in ["offline by one", "offline by two", "left "] {
        assert!(editors[1].view.contains(words), "{}", editors[1].view);
    }
    assert_eq!(
        editors[0].text.text().map(ToString::to_string),
        Some(editors[0].view.clone())
    );

    // Who comes later gets the same.
    let mut late = [Editor::new(&format!("ws://{}", server.websocket), 3)];
    let text = editors[0].view.clone();
    until(&mut late, "reading", |late| late[0].view == text);
    for editor in &mut editors {
        editor.client.stop();
    }
}
