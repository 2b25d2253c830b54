//! The groups of settings, in their order. Read [`Group`] first.

/// The sections of `--help` and of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Node,
    Access,
    Log,
    Streams,
    Admission,
    Publishing,
    Leaving,
    Cluster,
    Diagnostics,
}

impl Group {
    pub(super) const ALL: [Self; 9] = [
        Self::Node,
        Self::Access,
        Self::Log,
        Self::Streams,
        Self::Admission,
        Self::Publishing,
        Self::Leaving,
        Self::Cluster,
        Self::Diagnostics,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Access => "Access",
            Self::Log => "Log",
            Self::Streams => "Streams",
            Self::Admission => "Admission",
            Self::Publishing => "Publishing",
            Self::Leaving => "Leaving",
            Self::Cluster => "Cluster",
            Self::Diagnostics => "Diagnostics",
        }
    }
}
