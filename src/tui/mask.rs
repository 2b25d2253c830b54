//! What must not be seen in a screenshot or a recording: clients, users, addresses and payloads, each in place of itself
//! a mark that is the same for the same text as long as the console runs, and says nothing of it. Masked before anything
//! is kept or written down. Pure. Read [`Mask`] first.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::listing::{Page, Refusal, Row};
use super::plain::Plain;
use super::tail::Arrival;

/// Whether to mask, and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mask(Option<RandomState>);

impl Mask {
    pub(crate) fn new(is_on: bool) -> Self {
        Self(is_on.then(RandomState::new))
    }

    /// A part of the list of connections.
    pub(crate) fn page(&self, page: Result<Arc<Page>, Refusal>) -> Result<Arc<Page>, Refusal> {
        if self.0.is_none() {
            return page;
        }
        page.map(|page| {
            let rows = page.rows.iter().map(|row| Arc::new(self.row(row))).collect();
            Arc::new(Page { rows, ..(*page).clone() })
        })
    }

    fn row(&self, row: &Row) -> Row {
        Row {
            client: self.text(&row.client),
            user: row.user.as_ref().map(|user| self.text(user)),
            remote: self.text(&row.remote),
            ..row.clone()
        }
    }

    /// An event.
    pub(crate) fn arrival(&self, arrival: Arrival) -> Arrival {
        if self.0.is_none() {
            return arrival;
        }
        let payload = self.text(&arrival.payload);
        Arrival { lines: vec![payload.clone()], payload, ..arrival }
    }

    fn text(&self, text: &Plain) -> Plain {
        match &self.0 {
            // Thirty-two bits tell a screenful apart.
            Some(state) => Plain::new(&format!("#{:08x}", state.hash_one(text.as_str()) >> 32)),
            None => text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::{arrival, page};

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
        let event = Mask::new(true).arrival(arrival(1.0, "e-1"));
        assert!(!format!("{event:?}").contains("order"), "{event:?}");
        assert_eq!(event.bytes, arrival(1.0, "e-1").bytes);
    }

    #[test]
    fn nothing_is_masked_unless_asked_for() {
        let page = Arc::new(page(0..3, 3));
        assert_eq!(Mask::default().page(Ok(Arc::clone(&page))).unwrap(), page);
        assert_eq!(Mask::default().arrival(arrival(1.0, "e")), arrival(1.0, "e"));
    }
}
