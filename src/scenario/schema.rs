//! For editors.
