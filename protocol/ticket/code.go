package ticket

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"

	"ecluse/protocol/bundle"
)

const version = 1

// kind is what a code says.
type kind byte

const (
	bySequence kind = iota
	byBundle
	receipt
	kinds
)

// The parts of the content before the body, in symbols.
const (
	headSymbols   = 2
	epochSymbols  = 4
	tenantSymbols = 3
	tagSymbols    = 16

	beforeTenant = headSymbols + epochSymbols
	beforeTag    = beforeTenant + tenantSymbols
	beforeBody   = beforeTag + tagSymbols

	maxBody = maxGroups*groupData - beforeBody
)

// Owner is whose code it is: one epoch of a sender, its ticket key, and a tenant.
type Owner struct {
	Key    [32]byte
	Epoch  bundle.Epoch
	Tenant bundle.Name
}

// mac gives HMAC-SHA-256 under the ticket key over a title, epoch, tenant and the rest.
func (o *Owner) mac(title string, rest ...byte) []byte {
	m := hmac.New(sha256.New, o.Key[:])
	m.Write([]byte(title))
	m.Write(o.Epoch[:])
	m.Write([]byte{byte(len(o.Tenant))})
	m.Write([]byte(o.Tenant))
	m.Write(rest)
	return m.Sum(nil)
}

// appendTenant writes the three symbols of a tenant.
func (o *Owner) appendTenant(to []byte) []byte {
	return appendBits(to, o.mac("ecluse ticket tenant 1\n"), tenantSymbols)
}

// appendTag writes the tag over a first symbol and a body with its zeroes.
func (o *Owner) appendTag(to []byte, first byte, body []byte) []byte {
	return appendBits(to, o.mac("ecluse ticket 1\n", append([]byte{first}, body...)...), tagSymbols)
}

// appendEpoch writes the four symbols of an epoch.
func appendEpoch(to []byte, e bundle.Epoch) []byte {
	sum := sha256.Sum256(append([]byte("ecluse ticket epoch 1\n"), e[:]...))
	return appendBits(to, sum[:], epochSymbols)
}

// Ticket gives the code of a ticket, which has to fit.
func (o *Owner) Ticket(t *Ticket) string {
	k := bySequence
	if !t.Bundle.IsZero() {
		k = byBundle
	}
	return o.code(k, t.append(nil))
}

// Receipt gives the code of a receipt, which has to fit.
func (o *Owner) Receipt(r *Receipt) string { return o.code(receipt, r.append(nil)) }

// code puts a body into groups.
func (o *Owner) code(k kind, body []byte) string {
	if len(body) > maxBody {
		panic("ticket: internal error: a body that does not fit")
	}
	for (beforeBody+len(body))%groupData != 0 {
		body = append(body, 0)
	}
	first := byte(version<<2) | byte(k)
	content := append(make([]byte, 0, maxGroups*groupData), first, byte((beforeBody+len(body))/groupData))
	content = o.appendTenant(appendEpoch(content, o.Epoch))
	content = append(o.appendTag(content, first, body), body...)
	return spell(content)
}

// Code is a code that was typed without a fault. Nothing that it says is known to be true.
type Code struct {
	content []byte
}

// Parse reads what was typed, with separators or without, in either case. Refused: ticket-code, as a *Mistyped that names the groups; ticket-version.
func Parse(text string) (*Code, error) {
	content, err := read(text)
	if err != nil {
		return nil, err
	}
	if len(content) == 0 {
		return nil, mistyped("T-3", nil, "there is no code")
	}
	if content[0]>>2 != version || kind(content[0]&3) >= kinds {
		return nil, bundle.Reject(bundle.ReasonTicketVersion, "T-3", "version %d, kind %d: are both sides of one age?", content[0]>>2, content[0]&3)
	}
	have, want := len(content)/groupData, int(content[1])
	if have != want || have < minGroups || have > maxGroups {
		return nil, mistyped("T-3", nil, "the code has %d groups, and should have %d", have, want)
	}
	return &Code{content}, nil
}

// IsReceipt tells a receipt from a ticket.
func (c *Code) IsReceipt() bool { return kind(c.content[0]&3) == receipt }

// OfEpoch says whether the code may be one of this epoch.
func (c *Code) OfEpoch(e bundle.Epoch) bool {
	return string(appendEpoch(nil, e)) == string(c.content[headSymbols:beforeTenant])
}

// Open finds out whose code it is: the one of a sender's tenants for which its tag holds. Refused: ticket-epoch, ticket-tag.
func (c *Code) Open(key [32]byte, e bundle.Epoch, tenants []bundle.Name) (bundle.Name, error) {
	if !c.OfEpoch(e) {
		return "", bundle.Reject(bundle.ReasonTicketEpoch, "T-4", "it was made for another sender, or for another epoch than %s", e)
	}
	for _, tenant := range tenants {
		o := Owner{key, e, tenant}
		if string(o.appendTenant(nil)) != string(c.content[beforeTenant:beforeTag]) {
			continue
		}
		tag := o.appendTag(nil, c.content[0], c.content[beforeBody:])
		if subtle.ConstantTimeCompare(tag, c.content[beforeTag:beforeBody]) == 1 {
			return tenant, nil
		}
	}
	return "", bundle.Reject(bundle.ReasonTicketTag, "T-5", "it was not made under this sender's ticket key for any of its tenants")
}

// Ticket reads the body of a ticket that was opened. Refused: ticket-body.
func (c *Code) Ticket() (*Ticket, error) {
	if kind(c.content[0]&3) == byBundle {
		return parseByBundle(c.content[beforeBody:])
	}
	return parseBySequence(c.content[beforeBody:])
}

// Receipt reads the body of a receipt that was opened. Refused: ticket-body.
func (c *Code) Receipt() (*Receipt, error) { return parseReceipt(c.content[beforeBody:]) }
