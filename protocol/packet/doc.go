// Package packet turns shards and session announcements into datagrams and back.
//
// It promises that a shard comes out of Opener.Open exactly as it went into Sealer.Seal under the same key, block, index
// and code, or not at all; that no datagram makes it allocate or keep anything before the seal has opened; and that
// every refusal carries the reason and the rule of SPEC.md.
//
// It refuses datagrams of another version, kind, length or tag, seals that do not open, numbers seen before, reserved bytes
// that are not zero, and announcements whose lengths or fields do not add up. It knows nothing of signatures, key
// agreement, trust, clocks or sockets: it gives the exact bytes that others sign and derive from.
//
// It keeps SPEC.md section 3 (packets, P-1 to P-8) and the byte work of section 4 (announcements, S-1 to S-5 and S-9).
//
//	data packet     clear header (16) | sealed: inner header (12) and shard | tag (16)
//	announcement    clear header (16) | up to 1,408 bytes of body, in clear
package packet
