package bundle

import "fmt"

// Reason is a code of SPEC.md section 12. It is never renamed and never reused.
type Reason string

// The reasons, in the order of the table of section 12.
const (
	ReasonPacketLength          Reason = "packet-length"
	ReasonPacketVersion         Reason = "packet-version"
	ReasonPacketKind            Reason = "packet-kind"
	ReasonPacketTag             Reason = "packet-tag"
	ReasonPacketSeal            Reason = "packet-seal"
	ReasonPacketReplay          Reason = "packet-replay"
	ReasonPacketFloor           Reason = "packet-floor"
	ReasonPacketReserved        Reason = "packet-reserved"
	ReasonPacketCode            Reason = "packet-code"
	ReasonPacketProbe           Reason = "packet-probe"
	ReasonBlockConflict         Reason = "block-conflict"
	ReasonBlockLost             Reason = "block-lost"
	ReasonBlockBudget           Reason = "block-budget"
	ReasonBlockCRC              Reason = "block-crc"
	ReasonBlockHeader           Reason = "block-header"
	ReasonAnnounceLength        Reason = "announce-length"
	ReasonAnnounceParts         Reason = "announce-parts"
	ReasonAnnounceFields        Reason = "announce-fields"
	ReasonSessionSenderUnknown  Reason = "session-sender-unknown"
	ReasonSessionReceiverOther  Reason = "session-receiver-other"
	ReasonSessionKeyNamespace   Reason = "session-key-namespace"
	ReasonSessionKeyNotYetValid Reason = "session-key-not-yet-valid"
	ReasonSessionKeyExpired     Reason = "session-key-expired"
	ReasonSessionSignature      Reason = "session-signature"
	ReasonSessionKEM            Reason = "session-kem"
	ReasonSessionNumberOld      Reason = "session-number-old"
	ReasonSessionConflict       Reason = "session-conflict"
	ReasonSessionRate           Reason = "session-rate"
	ReasonRecordHeader          Reason = "record-header"
	ReasonRecordType            Reason = "record-type"
	ReasonRecordBody            Reason = "record-body"
	ReasonOfferConflict         Reason = "offer-conflict"
	ReasonCloseConflict         Reason = "close-conflict"
	ReasonChunkLayout           Reason = "chunk-layout"
	ReasonChunkFrame            Reason = "chunk-frame"
	ReasonAbandonSignature      Reason = "abandon-signature"
	ReasonTenantUnknown         Reason = "tenant-unknown"
	ReasonTenantNotAllowed      Reason = "tenant-not-allowed"
	ReasonQuota                 Reason = "quota"
	ReasonEnvelope              Reason = "envelope"
	ReasonDiskFull              Reason = "disk-full"
	ReasonLimit                 Reason = "limit"
	ReasonManifestSyntax        Reason = "manifest-syntax"
	ReasonManifestField         Reason = "manifest-field"
	ReasonManifestTree          Reason = "manifest-tree"
	ReasonManifestTotal         Reason = "manifest-total"
	ReasonManifestSums          Reason = "manifest-sums"
	ReasonManifestDigest        Reason = "manifest-digest"
	ReasonManifestMismatch      Reason = "manifest-mismatch"
	ReasonManifestSender        Reason = "manifest-sender"
	ReasonManifestReceiver      Reason = "manifest-receiver"
	ReasonPathSyntax            Reason = "path-syntax"
	ReasonPathControl           Reason = "path-control"
	ReasonPathLong              Reason = "path-long"
	ReasonPathCollision         Reason = "path-collision"
	ReasonPathPortable          Reason = "path-portable"
	ReasonSignatureFormat       Reason = "signature-format"
	ReasonSignatureInvalid      Reason = "signature-invalid"
	ReasonSignerUnknown         Reason = "signer-unknown"
	ReasonSignerNamespace       Reason = "signer-namespace"
	ReasonSignerNotYetValid     Reason = "signer-not-yet-valid"
	ReasonSignerExpired         Reason = "signer-expired"
	ReasonSignerOther           Reason = "signer-other"
	ReasonSignerRevoked         Reason = "signer-revoked"
	ReasonSequenceReplay        Reason = "sequence-replay"
	ReasonSequenceRollback      Reason = "sequence-rollback"
	ReasonSequenceFork          Reason = "sequence-fork"
	ReasonEpochNew              Reason = "epoch-new"
	ReasonRollback              Reason = "rollback"
	ReasonContentMismatch       Reason = "content-mismatch"
	ReasonGaps                  Reason = "gaps"
	ReasonNotInspected          Reason = "not-inspected"
	ReasonInspection            Reason = "inspection"
	ReasonInspector             Reason = "inspector"
	ReasonMalware               Reason = "malware"
	ReasonInspectorFinding      Reason = "inspector-finding"
	ReasonInspectorLimit        Reason = "inspector-limit"
	ReasonPolicyName            Reason = "policy-name"
	ReasonPolicySize            Reason = "policy-size"
	ReasonPolicyCount           Reason = "policy-count"
	ReasonPolicyType            Reason = "policy-type"
	ReasonPolicyText            Reason = "policy-text"
	ReasonPolicyMacro           Reason = "policy-macro"
	ReasonPolicyPath            Reason = "policy-path"
	ReasonPolicyArchive         Reason = "policy-archive"
	ReasonPolicyEncrypted       Reason = "policy-encrypted"
	ReasonPolicyBroken          Reason = "policy-broken"
	ReasonSignatureMissing      Reason = "signature-missing"
	ReasonSignatureContent      Reason = "signature-content"
	ReasonRouteStopped          Reason = "route-stopped"
	ReasonRouteExpired          Reason = "route-expired"
	ReasonAbandonedSender       Reason = "abandoned-sender"
	ReasonAbandonedExpired      Reason = "abandoned-expired"
	ReasonRejected              Reason = "rejected"
	ReasonClash                 Reason = "clash"
	ReasonDestination           Reason = "destination"
	ReasonUnfit                 Reason = "unfit"
	ReasonNeverArrived          Reason = "never-arrived"
	ReasonTicketCode            Reason = "ticket-code"
	ReasonTicketVersion         Reason = "ticket-version"
	ReasonTicketEpoch           Reason = "ticket-epoch"
	ReasonTicketTag             Reason = "ticket-tag"
	ReasonTicketBody            Reason = "ticket-body"
	ReasonTicketChain           Reason = "ticket-chain"
	ReasonTicketBudget          Reason = "ticket-budget"
	ReasonDecisionSyntax        Reason = "decision-syntax"
	ReasonDecisionOfficer       Reason = "decision-officer"
	ReasonDecisionOther         Reason = "decision-other"
)

// reasons is the table of section 12: what each refuses or holds, and what it means.
var reasons = [...]struct {
	reason         Reason
	where, meaning string
}{
	{ReasonPacketLength, "packet", "the datagram's length fits no shard"},
	{ReasonPacketVersion, "packet", "another version of the protocol"},
	{ReasonPacketKind, "packet", "neither announcement, data nor probe"},
	{ReasonPacketTag, "packet", "no open session has this tag"},
	{ReasonPacketSeal, "packet", "the seal does not open"},
	{ReasonPacketReplay, "packet", "seen before, or too old to tell"},
	{ReasonPacketFloor, "packet", "at or below the number stored before a restart"},
	{ReasonPacketReserved, "packet", "a reserved byte is not zero"},
	{ReasonPacketCode, "packet", "k, m, index and shard form no code"},
	{ReasonPacketProbe, "packet", "a field of a probe is outside its range"},
	{ReasonBlockConflict, "packet", "differs from the block's first packet"},
	{ReasonBlockLost, "block", "fewer than k shards arrived"},
	{ReasonBlockBudget, "block", "given up: memory for blocks was full"},
	{ReasonBlockCRC, "block", "the sum over the block does not hold"},
	{ReasonBlockHeader, "block", "number, length or padding is wrong"},
	{ReasonAnnounceLength, "session", "the lengths do not add up"},
	{ReasonAnnounceParts, "session", "parts are inconsistent"},
	{ReasonAnnounceFields, "session", "a field is outside its range"},
	{ReasonSessionSenderUnknown, "session", "the key is not enrolled"},
	{ReasonSessionReceiverOther, "session", "made for another receiver"},
	{ReasonSessionKeyNamespace, "session", "the key may not open sessions"},
	{ReasonSessionKeyNotYetValid, "session", "before valid-after"},
	{ReasonSessionKeyExpired, "session", "after valid-before"},
	{ReasonSessionSignature, "session", "the signature does not verify"},
	{ReasonSessionKEM, "session", "the encapsulation does not open"},
	{ReasonSessionNumberOld, "session", "below the highest number accepted"},
	{ReasonSessionConflict, "session", "the same number with other bytes"},
	{ReasonSessionRate, "session", "too many to verify in this second"},
	{ReasonRecordHeader, "record", "the record does not fit its block"},
	{ReasonRecordType, "record", "a type this version does not know"},
	{ReasonRecordBody, "record", "a field is missing, left over, or outside its limit"},
	{ReasonOfferConflict, "record", "a second offer with other values"},
	{ReasonCloseConflict, "record", "a second close with other values"},
	{ReasonChunkLayout, "record", "slices or runs contradict each other"},
	{ReasonChunkFrame, "record", "not one zstd frame of the stated size"},
	{ReasonAbandonSignature, "record", "the abandon is not signed by the session's principal"},
	{ReasonTenantUnknown, "bundle", "no such tenant here"},
	{ReasonTenantNotAllowed, "bundle", "this sender may not use the tenant"},
	{ReasonQuota, "bundle", "the tenant's quota does not hold it"},
	{ReasonEnvelope, "bundle", "the tenant's envelope of the year does not hold it"},
	{ReasonDiskFull, "bundle", "the disk does not hold it above the reserve"},
	{ReasonLimit, "bundle", "more files, directories or bytes than allowed"},
	{ReasonManifestSyntax, "bundle", "not in the one form"},
	{ReasonManifestField, "bundle", "a value outside its grammar or limit"},
	{ReasonManifestTree, "bundle", "files and directories form no single tree in order"},
	{ReasonManifestTotal, "bundle", "sizes, total and chunks do not add up"},
	{ReasonManifestSums, "bundle", "SHA256SUMS has another digest"},
	{ReasonManifestDigest, "bundle", "size or digest is not what the close says"},
	{ReasonManifestMismatch, "bundle", "contradicts its offer or close"},
	{ReasonManifestSender, "bundle", "names another sender"},
	{ReasonManifestReceiver, "bundle", "names another receiver"},
	{ReasonPathSyntax, "bundle", "an impossible path"},
	{ReasonPathControl, "bundle", "a control character in a path"},
	{ReasonPathLong, "bundle", "a path too long or too deep"},
	{ReasonPathCollision, "bundle", "two paths for one name"},
	{ReasonPathPortable, "bundle", "a name that the tenant's rule refuses"},
	{ReasonSignatureFormat, "bundle", "not an SSHSIG blob of ours"},
	{ReasonSignatureInvalid, "bundle", "the signature does not verify"},
	{ReasonSignerUnknown, "bundle", "the key is not in allowed_signers"},
	{ReasonSignerNamespace, "bundle", "the key may not sign bundles"},
	{ReasonSignerNotYetValid, "bundle", "before valid-after"},
	{ReasonSignerExpired, "bundle", "after valid-before"},
	{ReasonSignerOther, "bundle", "another principal opened the session"},
	{ReasonSignerRevoked, "bundle", "the key was removed before release"},
	{ReasonSequenceReplay, "bundle", "this bundle has been here"},
	{ReasonSequenceRollback, "bundle", "an epoch or sequence from before"},
	{ReasonSequenceFork, "bundle", "two manifests claim one place in the chain"},
	{ReasonEpochNew, "bundle", "held: the sender has a new epoch, pair it again"},
	{ReasonRollback, "bundle", "held: the receiver's own memory of this chain was put back, or is lost in part"},
	{ReasonContentMismatch, "bundle", "content no longer matches the manifest"},
	{ReasonGaps, "bundle", "damaged: chunks are missing"},
	{ReasonNotInspected, "bundle", "no inspector is configured"},
	{ReasonInspection, "bundle", "held: it is not inspected yet"},
	{ReasonInspector, "bundle", "held: an inspector failed, and is asked again"},
	{ReasonMalware, "bundle", "flagged: an inspector knows it as malicious"},
	{ReasonInspectorFinding, "bundle", "flagged: a command of the site does not let it in"},
	{ReasonInspectorLimit, "bundle", "flagged: beyond what an inspector looks into"},
	{ReasonPolicyName, "bundle", "flagged: a name that the tenant does not let in"},
	{ReasonPolicySize, "bundle", "flagged: a file, or all of them, larger than allowed"},
	{ReasonPolicyCount, "bundle", "flagged: more files than allowed"},
	{ReasonPolicyType, "bundle", "flagged: content of a type that the tenant does not let in"},
	{ReasonPolicyText, "bundle", "flagged: text that holds a phrase of the list"},
	{ReasonPolicyMacro, "bundle", "flagged: a document with macros"},
	{ReasonPolicyPath, "bundle", "flagged: an entry of an archive that leads out of it"},
	{ReasonPolicyArchive, "bundle", "flagged: an archive beyond the bounds of depth, entries, size or ratio"},
	{ReasonPolicyEncrypted, "bundle", "flagged: an encrypted archive"},
	{ReasonPolicyBroken, "bundle", "flagged: content that cannot be looked into to its end"},
	{ReasonSignatureMissing, "bundle", "flagged: content that fewer people have signed than the tenant asks for"},
	{ReasonSignatureContent, "bundle", "flagged: a signature of content, or a signed list of it, that does not hold"},
	{ReasonRouteStopped, "bundle", "held, or not let in: a person, or the configuration, has stopped the tenant"},
	{ReasonRouteExpired, "bundle", "held, or not let in: the last day of the tenant's route is over"},
	{ReasonAbandonedSender, "bundle", "given up by its sender"},
	{ReasonAbandonedExpired, "bundle", "incomplete for longer than `keep` allows"},
	{ReasonRejected, "bundle", "rejected by a person"},
	{ReasonClash, "bundle", "the name is taken at the destination"},
	{ReasonDestination, "bundle", "the destination cannot be written"},
	{ReasonUnfit, "bundle", "the destination takes no content, or name, of this kind"},
	{ReasonNeverArrived, "bundle", "missing: known only by its sequence"},
	{ReasonTicketCode, "ticket", "mistyped: a group does not hold"},
	{ReasonTicketVersion, "ticket", "another version or kind of code"},
	{ReasonTicketEpoch, "ticket", "made for another sender, or for another epoch"},
	{ReasonTicketTag, "ticket", "not made under this sender's ticket key"},
	{ReasonTicketBody, "ticket", "what it says is not in the one form, or does not fit the bundle"},
	{ReasonTicketChain, "ticket", "a receipt for other manifests than this sender's"},
	{ReasonTicketBudget, "ticket", "no more codes on this day"},
	{ReasonDecisionSyntax, "decision", "what was signed is not the text of a decision in its one form"},
	{ReasonDecisionOfficer, "decision", "the key is no officer's, or not now, or not for this tenant"},
	{ReasonDecisionOther, "decision", "signed for another bundle, or for another decision"},
}

// Reasons gives every reason, in the order of section 12.
func Reasons() []Reason {
	all := make([]Reason, len(reasons))
	for i, row := range reasons {
		all[i] = row.reason
	}
	return all
}

// ParseReason takes a reason of section 12 and nothing else.
func ParseReason(s string) (Reason, error) {
	if Reason(s).Where() == "" {
		return "", fmt.Errorf("%q is no reason", excerpt(s))
	}
	return Reason(s), nil
}

// Where says what the reason refuses or holds: packet, block, session, record, bundle, ticket or decision. It is empty for what is no reason.
func (r Reason) Where() string {
	for i := range reasons {
		if reasons[i].reason == r {
			return reasons[i].where
		}
	}
	return ""
}

// Meaning says the reason in words.
func (r Reason) Meaning() string {
	for i := range reasons {
		if reasons[i].reason == r {
			return reasons[i].meaning
		}
	}
	return ""
}
