package collect

import "ecluse/protocol/bundle"

// packetReasons are the reasons for which a packet or a block is refused or given up here, in the order of Counts.Refused.
var packetReasons = [...]bundle.Reason{
	bundle.ReasonPacketLength, bundle.ReasonPacketVersion, bundle.ReasonPacketKind, bundle.ReasonPacketTag,
	bundle.ReasonPacketSeal, bundle.ReasonPacketReplay, bundle.ReasonPacketFloor, bundle.ReasonPacketReserved,
	bundle.ReasonPacketCode, bundle.ReasonPacketProbe, bundle.ReasonBlockConflict,
}

// refusals counts refused packets by reason. Counting allocates nothing.
type refusals [len(packetReasons)]uint64

// add counts a refusal. Every error that reaches it is a rejection with one of packetReasons: another one is a bug.
func (r *refusals) add(err error) {
	rejection, ok := err.(*bundle.Rejection) // what this package and protocol/packet give is never wrapped
	if !ok {
		panic("collect: internal error: a packet was refused without a reason: " + err.Error())
	}
	for i, reason := range packetReasons {
		if reason == rejection.Reason {
			r[i]++
			return
		}
	}
	panic("collect: internal error: a packet was refused as " + string(rejection.Reason))
}

// BlockCounts says what became of blocks.
type BlockCounts struct {
	Complete       uint64 `json:"complete"`        // k shards came
	Delivered      uint64 `json:"delivered"`       // decoded, checked and handed to the sink
	Repaired       uint64 `json:"repaired"`        // delivered blocks in which data shards were missing
	RepairedShards uint64 `json:"repaired_shards"` // data shards recovered in them
	Lost           uint64 `json:"lost"`            // block-lost: fewer than k shards came
	LostUnseen     uint64 `json:"lost_unseen"`     // those among Lost of which no packet came
	LostShards     uint64 `json:"lost_shards"`     // shards that the others among Lost fell short of k
	Budget         uint64 `json:"budget"`          // block-budget: given up because memory was full
	BudgetPackets  uint64 `json:"budget_packets"`  // packets that came and went with them
	CRC            uint64 `json:"crc"`             // block-crc
	Header         uint64 `json:"header"`          // block-header
}

// PacketCounts says what became of packets.
type PacketCounts struct {
	Received  uint64 `json:"received"`  // datagrams of any kind that the collector looked at
	Announced uint64 `json:"announced"` // announcements among them
	Accepted  uint64 `json:"accepted"`  // data packets that opened and were new
	Bytes     uint64 `json:"bytes"`     // their datagrams in bytes
	Surplus   uint64 `json:"surplus"`   // accepted, but of a block that takes no more, or a shard that was here
}
