package bundle

// abandonPreamble keeps a signed abandon from being anything else, beside its namespace.
const abandonPreamble = "ecluse abandon 1\n"

// AbandonMessage gives the bytes that the signature of an abandon covers: the preamble and every field before the signature as
// they stand in the record. Tenant and reason have at most 255 bytes.
func AbandonMessage(id ID, epoch Epoch, tenant Name, reason string) []byte {
	if len(tenant) > 255 || len(reason) > 255 {
		panic("bundle: internal error: a field of an abandon outgrew its length byte")
	}
	b := make([]byte, 0, len(abandonPreamble)+len(id)+len(epoch)+2+len(tenant)+len(reason))
	b = append(b, abandonPreamble...)
	b = append(b, id[:]...)
	b = append(b, epoch[:]...)
	b = append(append(b, byte(len(tenant))), tenant...)
	return append(append(b, byte(len(reason))), reason...)
}
