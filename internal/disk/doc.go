// Package disk is how a house touches its file systems: one Disk for each house, handed to every room, and through it every act on what a bundle walks through.
//
//	Put       a whole file appears under its name, or nothing; durable after the next SyncAll
//	Replace   the same, durable on return
//	SyncAll   everything changed below a directory's file system is durable on return
//
// A name without the temporary suffix is a finished thing. A failed sync is never tried again: what is on the disk is then unknown, and the process has to end.
//
// SyncAll is one syncfs for all that wait: callers that come while one runs share the next. That is what lets thousands of small bundles a second be durable.
//
// The rest of it is what package os and the system offer, under the same names: by path (Disk), below an open directory (Root), on what is open (File), and raw, where a room goes
// through trees of others by descriptors. Between the rooms and the system stands a Probe, which production does not have: it costs a comparison with nil and no allocation. With
// one a test sees each act before and after it is done, and may refuse it or cut it short; so it can be any disk that fails, fills up or loses power, under the same code that
// production runs.
//
// Outside stay what only rebuilds (the catalog, which is SQLite's), what nobody's bundle walks through (keys, configuration, the state's lock), inotify and leases.
package disk
