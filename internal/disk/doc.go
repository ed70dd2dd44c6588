// Package disk is how a house touches its file systems: one Disk for each house, handed to every room, and through it every act on what a bundle walks through.
//
//	Replace                    a whole file stands under its name, or what stood there before; durable on return
//	Prepare, SyncAll, Place    the same for many at once, durable after the next SyncAll
//	SyncAll                    everything changed below a directory's file system is durable on return
//
// A name without the temporary suffix is a finished thing. It stays one when the power goes: no name is given before the content is durable. A rename alone does not promise that.
// ext4 writes out what replaces something when it is renamed (auto_da_alloc), though nothing of a new name; XFS does neither, and what stood under the name before is gone as well.
// For one file that takes an fsync; for many it takes one more syncfs. Measured for 512 records of 700 bytes, from creation to durable names: on XFS 41 to 75 ms with one syncfs and
// empty files after a cut, 76 to 154 ms with two, 353 to 455 ms with an fsync for each; on ext4 400 to 570, 415 to 850, 350 to 1,690.
//
// A failed sync is never tried again: what is on the disk is then unknown, and the process has to end. Guard is how it comes to know, whoever asked for the sync.
//
// SyncAll is one syncfs for all that wait: callers that come while one runs share the next. That is what lets thousands of small bundles a second be durable.
//
// The rest of it is what package os and the system offer, under the same names: by path (Disk), below an open directory (Root; Dirs, for much at once), on what is open (File), and raw, where a room goes
// through trees of others by descriptors. Between the rooms and the system stands a Probe, which production does not have: it costs a comparison with nil and no allocation. With
// one a test sees each act before and after it is done, and may refuse it or cut it short; so it can be any disk that fails, fills up or loses power, under the same code that
// production runs.
//
// Outside stay what only rebuilds (the catalog, which is SQLite's), what nobody's bundle walks through (keys, configuration, the state's lock), inotify and leases.
package disk
