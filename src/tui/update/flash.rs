//! The notice at the bottom of the screen about the last action.

use std::time::Duration;

use crate::tui::state::model::{Flash, Model};

/// A notice stays for this time.
const FLASH: Duration = Duration::from_secs(6);

/// Shows a notice at the bottom of the screen.
pub(super) fn flash(model: &mut Model, is_good: bool, text: String) {
    model.flash = Some(Flash { text, is_good, until: model.now().elapsed + FLASH });
}
