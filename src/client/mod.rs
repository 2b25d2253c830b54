//! An SSE client: connects, decodes, reconnects as browsers, fetch-based clients or tolerant clients do.
