package bundle

// The limits of SPEC.md section 1. Every count that a peer can make grow has one. Sizes are in bytes.
const (
	// MinMTU and MaxMTU are what Ethernet carries; below 1,500 an announcement does not fit one packet.
	MinMTU = 1500
	MaxMTU = 9216

	// MinShard to MaxShard, in steps of ShardMultiple: Leopard wants multiples of 64, and the largest fits MaxMTU under IPv6.
	MinShard      = 1408
	MaxShard      = 9088
	ShardMultiple = 64

	// MaxDataShards (k) and MaxParityShards (m) bound a block to 17.8 MiB.
	MaxDataShards   = 2048
	MaxParityShards = 2048

	// ChunkSizeMin to ChunkSizeMax, powers of two: a chunk is one zstd frame and one buffer.
	ChunkSizeMin = 4096
	ChunkSizeMax = 4 << 20

	// MaxRuns is the number of files that one chunk may hold parts of: their table (32 KiB) fits the first slice.
	MaxRuns = 2048

	// MaxFiles, MaxDirs and MaxManifest bound the memory of the verifier.
	MaxFiles    = 1_000_000
	MaxDirs     = 1_000_000
	MaxManifest = 512 << 20

	// MaxBytes of content are MaxContentChunks of the largest size: a bitmap of 2 MiB. MaxChunks counts those of the manifest as well.
	MaxBytes         = 1 << 46
	MaxContentChunks = 1 << 24
	MaxChunks        = MaxContentChunks + 1<<18

	// MaxRecords bounds the time to walk one block.
	MaxRecords = 65536

	// MaxTenants bounds the size of one heartbeat.
	MaxTenants = 1024

	// MaxName is the length of the name of a tenant, a sender or a receiver: they become directory names.
	MaxName = 64

	// MaxPath, MaxDepth (components) and MaxComponent are what Linux takes.
	MaxPath      = 4096
	MaxDepth     = 64
	MaxComponent = 255

	// MaxLabels of a manifest, each with a key and a value of so many bytes: they are shown to people.
	MaxLabels     = 32
	MaxLabelKey   = 64
	MaxLabelValue = 256

	// MaxSequence is the largest integer that every reader of JSON holds exactly (RFC 8259 section 6).
	MaxSequence = 1<<53 - 1

	// MinSignature to MaxSignature leave room for larger algorithms.
	MinSignature = 64
	MaxSignature = 8192

	// MaxDecision of a signed decision: a reason of 1,024 bytes with each escaped, and names.
	MaxDecision = 4096

	// MaxParts is the number of packets of an announcement: room for larger signatures.
	MaxParts = 8

	// MaxProbeSteps and MaxProbePackets, of each step, bound what a receiver counts of a probe.
	MaxProbeSteps   = 64
	MaxProbePackets = 1 << 24

	// MaxLinks is the number of links in a session: keys to derive.
	MaxLinks = 16

	// ReplayWindow in packets covers the reordering of the widest interleaving on one link.
	ReplayWindow = 65536

	// MinMtime and MaxMtime, Unix seconds, are far beyond what file systems hold and far from overflow (M-4).
	MinMtime = -(1 << 40)
	MaxMtime = 1 << 40

	// MaxCreated is the last second of the year 9999: a later time has no RFC 3339 form.
	MaxCreated = 253_402_300_799
)
