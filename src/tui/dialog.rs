//! The dialogs before everything that changes the cluster. Each starts on Cancel, shows the equal `curl`, and does
//! nothing until its own button is pressed; a drain also wants the node's name typed. Pure. Read [`Dialog`] first.

use crossterm::event::{KeyCode, KeyEvent};

use super::act::Act;
use super::editor::Editor;
use super::plain::Plain;
use super::url::NodeUrl;
use crate::protocol::{Address, ConnectionId, EventType};

/// A dialog that lies over the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dialog {
    pub(crate) kind: Kind,
    pub(crate) fields: Vec<Field>,
    pub(crate) focus: Focus,
    /// The node that is asked to do it.
    pub(crate) node: NodeUrl,
}

/// What it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Broadcast { connections: u64 },
    Message,
    Drain { name: Plain, connections: u64 },
    Disconnect { id: ConnectionId, client: Plain, place: Plain },
}

/// A line to fill in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) label: &'static str,
    /// What may stand there.
    pub(crate) hint: &'static str,
    pub(crate) editor: Editor,
}

/// Where keys go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Focus {
    Cancel,
    Go,
    Field(usize),
}

/// What a key made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Open,
    Cancelled,
    Act(Act),
}

impl Dialog {
    pub(crate) fn broadcast(node: NodeUrl, connections: u64) -> Self {
        let fields =
            vec![Field::new("type", "MESSAGE when empty", ""), Field::new("data", "JSON, or a text", "")];
        Self { kind: Kind::Broadcast { connections }, fields, focus: Focus::Cancel, node }
    }

    pub(crate) fn message(node: NodeUrl, to: &str) -> Self {
        let fields = vec![
            Field::new("to", "client:C user:U topic:T node:N node:N/client:C", to),
            Field::new("type", "the default of the address when empty", ""),
            Field::new("data", "JSON, or a text", ""),
        ];
        Self { kind: Kind::Message, fields, focus: Focus::Cancel, node }
    }

    pub(crate) fn drain(node: NodeUrl, name: Plain, connections: u64) -> Self {
        let fields = vec![
            Field::new("over", "as 30s; the node's own when empty", "30s"),
            Field::new("reason", "told to every client", ""),
            Field::new("name", "type the node's name to confirm", ""),
        ];
        Self { kind: Kind::Drain { name, connections }, fields, focus: Focus::Cancel, node }
    }

    pub(crate) fn disconnect(node: NodeUrl, id: ConnectionId, client: Plain, place: Plain) -> Self {
        let kind = Kind::Disconnect { id, client, place };
        Self { kind, fields: Vec::new(), focus: Focus::Cancel, node }
    }

    /// The button that does it.
    pub(crate) fn verb(&self) -> &'static str {
        match self.kind {
            Kind::Broadcast { .. } | Kind::Message => "send",
            Kind::Drain { .. } => "drain",
            Kind::Disconnect { .. } => "disconnect",
        }
    }

    pub(crate) fn press(&mut self, key: KeyEvent) -> Outcome {
        let is_typing = matches!(self.focus, Focus::Field(_));
        match key.code {
            KeyCode::Esc => return Outcome::Cancelled,
            KeyCode::Enter => return self.enter(),
            KeyCode::Tab | KeyCode::Down => self.step(1),
            KeyCode::BackTab | KeyCode::Up => self.step(self.fields.len() + 1),
            KeyCode::Right | KeyCode::Left | KeyCode::Char('h' | 'l') if !is_typing => self.other_button(),
            KeyCode::Char('q') if !is_typing => return Outcome::Cancelled,
            _ => {
                if let Focus::Field(index) = self.focus
                    && let Some(field) = self.fields.get_mut(index)
                {
                    field.editor.press(key);
                }
            }
        }
        Outcome::Open
    }

    /// A pasted text goes into the field that has the focus, and nowhere else.
    pub(crate) fn paste(&mut self, text: &str) {
        if let Focus::Field(index) = self.focus
            && let Some(field) = self.fields.get_mut(index)
        {
            field.editor.paste(text);
        }
    }

    /// In a field: to the next one. On the button: done, when everything is filled in.
    fn enter(&mut self) -> Outcome {
        match self.focus {
            Focus::Cancel => return Outcome::Cancelled,
            Focus::Field(_) => self.step(1),
            Focus::Go => {
                if let Ok(act) = self.act() {
                    return Outcome::Act(act);
                }
            }
        }
        Outcome::Open
    }

    /// Fields first, from the top down, then the buttons, and around.
    fn step(&mut self, by: usize) {
        let fields = self.fields.len();
        let place = match self.focus {
            Focus::Field(index) => index,
            Focus::Cancel => fields,
            Focus::Go => fields + 1,
        };
        self.focus = match (place + by) % (fields + 2) {
            index if index < fields => Focus::Field(index),
            index if index == fields => Focus::Cancel,
            _ => Focus::Go,
        };
    }

    fn other_button(&mut self) {
        self.focus = if self.focus == Focus::Cancel { Focus::Go } else { Focus::Cancel };
    }

    fn text(&self, label: &str) -> &str {
        self.fields.iter().find(|field| field.label == label).map_or("", |field| field.editor.text().trim())
    }

    /// What the button does, or what is missing.
    ///
    /// # Errors
    /// A sentence for people.
    pub(crate) fn act(&self) -> Result<Act, String> {
        match &self.kind {
            Kind::Broadcast { .. } => self.publish(&Address::All),
            Kind::Message => {
                let to: Address = self.text("to").parse().map_err(|error| format!("{error}"))?;
                if to == Address::All {
                    return Err("a broadcast is for everybody; a message is not".to_owned());
                }
                self.publish(&to)
            }
            Kind::Drain { name, .. } if self.text("name") != name.as_str() => {
                Err(format!("type the node's name, {name}"))
            }
            Kind::Drain { name, .. } => {
                let over = self.text("over");
                if !over.is_empty() {
                    humantime::parse_duration(over).map_err(|error| format!("over {over:?}: {error}"))?;
                }
                Ok(Act::drain(self.node.clone(), name.as_str(), over, self.text("reason")))
            }
            Kind::Disconnect { id, client, .. } => {
                Ok(Act::disconnect(self.node.clone(), id.as_str(), client.as_str()))
            }
        }
    }

    fn publish(&self, to: &Address) -> Result<Act, String> {
        let (kind, data) = (self.text("type"), self.text("data"));
        if !kind.is_empty() {
            EventType::parse(kind).map_err(|error| error.to_string())?;
        }
        if data.is_empty() {
            return Err("data is empty".to_owned());
        }
        Ok(Act::publish(self.node.clone(), to, kind, data))
    }
}

impl Field {
    fn new(label: &'static str, hint: &'static str, text: &str) -> Self {
        Self { label, hint, editor: Editor::new(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::url;
    use crossterm::event::KeyModifiers;

    fn press(dialog: &mut Dialog, keys: &str) -> Outcome {
        let mut outcome = Outcome::Open;
        for key in keys.chars() {
            let code = match key {
                '⇥' => KeyCode::Tab,
                '⎋' => KeyCode::Esc,
                '⏎' => KeyCode::Enter,
                '→' => KeyCode::Right,
                key => KeyCode::Char(key),
            };
            outcome = dialog.press(KeyEvent::new(code, KeyModifiers::NONE));
        }
        outcome
    }

    fn drain() -> Dialog {
        Dialog::drain(url(1), Plain::new("node-1"), 4_512)
    }

    #[test]
    fn every_dialog_starts_on_cancel() {
        let dialogs = [
            Dialog::broadcast(url(1), 3),
            Dialog::message(url(1), "client:c"),
            drain(),
            Dialog::disconnect(url(1), ConnectionId::parse("1").unwrap(), Plain::new("c"), Plain::new("n")),
        ];
        for dialog in dialogs {
            assert_eq!(press(&mut dialog.clone(), "⏎"), Outcome::Cancelled);
            assert_eq!(press(&mut dialog.clone(), "⎋"), Outcome::Cancelled);
            assert_eq!(press(&mut dialog.clone(), "q"), Outcome::Cancelled);
            assert_eq!(press(&mut dialog.clone(), "y"), Outcome::Open, "no letter does it");
        }
    }

    #[test]
    fn a_drain_wants_the_name() {
        assert_eq!(press(&mut drain(), "→⏎"), Outcome::Open, "the name is missing");
        let mut dialog = drain();
        assert_eq!(press(&mut dialog, "⇥⇥⇥⇥node-2⏎→⏎"), Outcome::Open);
        assert_eq!(dialog.act().unwrap_err(), "type the node's name, node-1");
        let Outcome::Act(act) = press(&mut drain(), "⇥⇥⇥⇥node-1⏎→⏎") else {
            panic!("it does not drain")
        };
        assert_eq!((act.what.as_str(), act.body.as_deref()), ("drain node-1", Some("{\"over\":\"30s\"}")));
    }

    #[test]
    fn a_message_goes_to_whom_it_says() {
        let mut dialog = Dialog::message(url(1), "topic:orders");
        let Outcome::Act(act) = press(&mut dialog, "⇥⇥⇥⇥hello⏎→⏎") else {
            panic!("{dialog:?}")
        };
        assert_eq!(
            (act.path.as_str(), act.body.as_deref()),
            ("/api/sse/topics/orders", Some("{\"data\":\"hello\"}"))
        );
        for (to, why) in [("", "address"), ("all", "a broadcast is"), ("topic:", "empty")] {
            let error = Dialog::message(url(1), to).act().unwrap_err();
            assert!(error.contains(why), "{to}: {error}");
        }
        assert_eq!(Dialog::message(url(1), "user:u").act().unwrap_err(), "data is empty");
    }
}
