//! `--mask`: marks in place of clients, users, addresses and payloads, for screenshots and recordings. A mark is the
//! same for the same text as long as the console runs, and does not reveal it. Texts are masked before they reach the
//! model or a recording. Pure. Read [`Mask`] first.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use crate::tui::state::connections::{Connection, ListError, Page};
use crate::tui::state::events::ReceivedEvent;
use crate::tui::text::sanitize::SafeText;

/// The key of the marks; `None` masks nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mask(Option<RandomState>);

impl Mask {
    pub(crate) fn new(is_on: bool) -> Self {
        Self(is_on.then(RandomState::new))
    }

    /// Masks a part of the list of connections.
    pub(crate) fn page(&self, page: Result<Arc<Page>, ListError>) -> Result<Arc<Page>, ListError> {
        if self.0.is_none() {
            return page;
        }
        page.map(|page| {
            let rows = page.rows.iter().map(|row| Arc::new(self.row(row))).collect();
            Arc::new(Page { rows, ..(*page).clone() })
        })
    }

    fn row(&self, row: &Connection) -> Connection {
        Connection {
            client: self.text(&row.client),
            user: row.user.as_ref().map(|user| self.text(user)),
            remote: self.text(&row.remote),
            ..row.clone()
        }
    }

    /// Masks an event.
    pub(crate) fn event(&self, event: ReceivedEvent) -> ReceivedEvent {
        if self.0.is_none() {
            return event;
        }
        let payload = self.text(&event.payload);
        ReceivedEvent { lines: vec![payload.clone()], payload, ..event }
    }

    fn text(&self, text: &SafeText) -> SafeText {
        match &self.0 {
            // Thirty-two bits are enough to tell the rows of a screen apart.
            Some(state) => SafeText::new(&format!("#{:08x}", state.hash_one(text.as_str()) >> 32)),
            None => text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::state::tests::fixture::{page, received_event};

    #[test]
    fn what_is_masked_can_be_told_apart_and_not_read() {
        let page = Arc::new(page(0..10, 10));
        let masked = Mask::new(true).page(Ok(Arc::clone(&page))).unwrap();
        let shown = format!("{masked:?}");
        for row in &page.rows {
            assert!(!shown.contains(row.client.as_str()) && !shown.contains(row.remote.as_str()), "{shown}");
        }
        let mut clients: Vec<_> = masked.rows.iter().map(|row| row.client.clone()).collect();
        clients.dedup();
        assert_eq!(clients.len(), 10, "ten clients are still ten");
        assert_eq!(masked.rows[0].id, page.rows[0].id, "by which it can be disconnected");
        let event = Mask::new(true).event(received_event(1.0, "e-1"));
        assert!(!format!("{event:?}").contains("order"), "{event:?}");
        assert_eq!(event.bytes, received_event(1.0, "e-1").bytes);
    }

    #[test]
    fn nothing_is_masked_unless_asked_for() {
        let page = Arc::new(page(0..3, 3));
        assert_eq!(Mask::default().page(Ok(Arc::clone(&page))).unwrap(), page);
        assert_eq!(Mask::default().event(received_event(1.0, "e")), received_event(1.0, "e"));
    }
}
