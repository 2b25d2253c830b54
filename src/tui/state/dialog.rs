//! Dialogs that confirm an action. Each starts on Cancel, shows the same request as a `curl` command, and does
//! nothing until its other button is pressed; a drain also requires the node's id. Pure. Read [`Dialog`] first.

use crossterm::event::{KeyCode, KeyEvent};

use crate::protocol::address::InvalidAddress;
use crate::protocol::{Address, ConnectionId, EventType};
use crate::tui::state::action_request::ActionRequest;
use crate::tui::state::editor::Editor;
use crate::tui::text::sanitize::SafeText;
use crate::tui::text::url::NodeUrl;

/// The addresses of a message; all clients are reached by a broadcast.
const ADDRESSES: &str = "client:C, user:U, topic:T, node:N, node:N/client:C";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dialog {
    pub(crate) kind: Kind,
    pub(crate) fields: Vec<Field>,
    pub(crate) focus: Focus,
    /// The node that the request goes to.
    pub(crate) node: NodeUrl,
}

/// The action that a dialog confirms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Broadcast { connections: u64 },
    Message,
    Drain { name: SafeText, connections: u64 },
    Disconnect { id: ConnectionId, client: SafeText, place: SafeText },
}

/// An input line of a dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) label: &'static str,
    /// Shown while the field is empty and has no focus.
    pub(crate) hint: &'static str,
    pub(crate) editor: Editor,
}

/// The part of a dialog that receives keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Focus {
    Cancel,
    Go,
    Field(usize),
}

/// The state of a dialog after a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Open,
    Cancelled,
    Act(ActionRequest),
}

impl Dialog {
    pub(crate) fn broadcast(node: NodeUrl, connections: u64) -> Self {
        let fields =
            vec![Field::new("type", "MESSAGE when empty", ""), Field::new("data", "JSON, or a string", "")];
        Self { kind: Kind::Broadcast { connections }, fields, focus: Focus::Cancel, node }
    }

    pub(crate) fn message(node: NodeUrl, to: &str) -> Self {
        let fields = vec![
            Field::new("to", ADDRESSES, to),
            Field::new("type", "the receiver's default when empty", ""),
            Field::new("data", "JSON, or a string", ""),
        ];
        Self { kind: Kind::Message, fields, focus: Focus::Cancel, node }
    }

    pub(crate) fn drain(node: NodeUrl, name: SafeText, connections: u64) -> Self {
        let fields = vec![
            Field::new("over", "such as 30s; the node's default when empty", "30s"),
            Field::new("reason", "sent to every client", ""),
            Field::new("id", "type the node's id to confirm", ""),
        ];
        Self { kind: Kind::Drain { name, connections }, fields, focus: Focus::Cancel, node }
    }

    pub(crate) fn disconnect(node: NodeUrl, id: ConnectionId, client: SafeText, place: SafeText) -> Self {
        let kind = Kind::Disconnect { id, client, place };
        Self { kind, fields: Vec::new(), focus: Focus::Cancel, node }
    }

    /// The label of the button that sends the request.
    pub(crate) fn button(&self) -> &'static str {
        match self.kind {
            Kind::Broadcast { .. } | Kind::Message => "send",
            Kind::Drain { .. } => "drain",
            Kind::Disconnect { .. } => "disconnect",
        }
    }

    pub(crate) fn on_key(&mut self, key: KeyEvent) -> Outcome {
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
                    field.editor.on_key(key);
                }
            }
        }
        Outcome::Open
    }

    /// Inserts pasted text into the focused field; without one it is ignored.
    pub(crate) fn paste(&mut self, text: &str) {
        if let Focus::Field(index) = self.focus
            && let Some(field) = self.fields.get_mut(index)
        {
            field.editor.paste(text);
        }
    }

    /// Moves from a field to the next part; on the button, sends the request if it is valid.
    fn enter(&mut self) -> Outcome {
        match self.focus {
            Focus::Cancel => return Outcome::Cancelled,
            Focus::Field(_) => self.step(1),
            Focus::Go => {
                if let Ok(request) = self.request() {
                    return Outcome::Act(request);
                }
            }
        }
        Outcome::Open
    }

    /// Moves the focus by this many parts: the fields from the top down, then Cancel, then the other button, then the
    /// first field again.
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

    /// The request that the button sends.
    ///
    /// # Errors
    /// The field that is missing or invalid, as a sentence for the dialog.
    pub(crate) fn request(&self) -> Result<ActionRequest, String> {
        match &self.kind {
            Kind::Broadcast { .. } => self.publish(&Address::All),
            Kind::Message => {
                let to = self.text("to");
                let to = to.parse().map_err(|error| match error {
                    InvalidAddress::Kind(_) => format!("to {to:?} is not valid; allowed are {ADDRESSES}"),
                    InvalidAddress::Name(_) => error.to_string(),
                })?;
                if to == Address::All {
                    return Err(format!(
                        "to all is not allowed here: use a broadcast; allowed are {ADDRESSES}"
                    ));
                }
                self.publish(&to)
            }
            Kind::Drain { name, .. } if self.text("id") != name.as_str() => {
                Err(format!("type the node's id, {name}"))
            }
            Kind::Drain { name, .. } => {
                let over = self.text("over");
                if !over.is_empty() {
                    humantime::parse_duration(over).map_err(|error| {
                        format!("over {over:?} is not valid: {error}; allowed are durations like 30s or 2m")
                    })?;
                }
                Ok(ActionRequest::drain(self.node.clone(), name.as_str(), over, self.text("reason")))
            }
            Kind::Disconnect { id, client, .. } => {
                Ok(ActionRequest::disconnect(self.node.clone(), id.as_str(), client.as_str()))
            }
        }
    }

    fn publish(&self, to: &Address) -> Result<ActionRequest, String> {
        let (kind, data) = (self.text("type"), self.text("data"));
        if !kind.is_empty() {
            EventType::parse(kind).map_err(|error| error.to_string())?;
        }
        if data.is_empty() {
            return Err("data is empty".to_owned());
        }
        Ok(ActionRequest::publish(self.node.clone(), to, kind, data))
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
    use crate::tui::state::tests::fixture::url;
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
            outcome = dialog.on_key(KeyEvent::new(code, KeyModifiers::NONE));
        }
        outcome
    }

    fn drain() -> Dialog {
        Dialog::drain(url(1), SafeText::new("node-1"), 4_512)
    }

    #[test]
    fn every_dialog_starts_on_cancel() {
        let dialogs = [
            Dialog::broadcast(url(1), 3),
            Dialog::message(url(1), "client:c"),
            drain(),
            Dialog::disconnect(
                url(1),
                ConnectionId::parse("1").unwrap(),
                SafeText::new("c"),
                SafeText::new("n"),
            ),
        ];
        for dialog in dialogs {
            assert_eq!(press(&mut dialog.clone(), "⏎"), Outcome::Cancelled);
            assert_eq!(press(&mut dialog.clone(), "⎋"), Outcome::Cancelled);
            assert_eq!(press(&mut dialog.clone(), "q"), Outcome::Cancelled);
            assert_eq!(press(&mut dialog.clone(), "y"), Outcome::Open, "no letter does it");
        }
    }

    #[test]
    fn a_drain_wants_the_id() {
        assert_eq!(press(&mut drain(), "→⏎"), Outcome::Open, "the id is missing");
        let mut dialog = drain();
        assert_eq!(press(&mut dialog, "⇥⇥⇥⇥node-2⏎→⏎"), Outcome::Open);
        assert_eq!(dialog.request().unwrap_err(), "type the node's id, node-1");
        let Outcome::Act(request) = press(&mut drain(), "⇥⇥⇥⇥node-1⏎→⏎") else {
            panic!("it does not drain")
        };
        assert_eq!(
            (request.what.as_str(), request.body.as_deref()),
            ("drain node-1", Some("{\"over\":\"30s\"}"))
        );
    }

    #[test]
    fn a_message_goes_to_whom_it_says() {
        let mut dialog = Dialog::message(url(1), "topic:orders");
        let Outcome::Act(request) = press(&mut dialog, "⇥⇥⇥⇥hello⏎→⏎") else {
            panic!("{dialog:?}")
        };
        assert_eq!(
            (request.path.as_str(), request.body.as_deref()),
            ("/api/sse/topics/orders", Some("{\"data\":\"hello\"}"))
        );
        for (to, why) in [("", "allowed are client:C"), ("all", "use a broadcast"), ("topic:", "empty")] {
            let error = Dialog::message(url(1), to).request().unwrap_err();
            assert!(error.contains(why), "{to}: {error}");
        }
        assert_eq!(Dialog::message(url(1), "user:u").request().unwrap_err(), "data is empty");
    }
}
