package keys

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/crypto/ssh"
)

// The curve of RFC 8032 section 5.1: -x² + y² = 1 + dx²y² modulo p = 2^255 - 19.
var (
	fieldPrime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	curveD     = fieldElement("52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3")
)

// smallOrder holds the y of the eight points whose order divides the cofactor. Under such a key a signature can be made without a private
// half.
var smallOrder = []*big.Int{
	big.NewInt(0), // order 4, both signs of x
	big.NewInt(1), // the neutral element
	new(big.Int).Sub(fieldPrime, big.NewInt(1)),                                      // order 2
	fieldElement("05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826"), // order 8, both signs of x
	fieldElement("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7"), // order 8, both signs of x
}

func fieldElement(hexadecimal string) *big.Int {
	x, ok := new(big.Int).SetString(hexadecimal, 16)
	if !ok {
		panic("keys: internal error: a constant of the curve is no number")
	}
	return x
}

// CheckKey tells whether a key may stand for a sender: an ssh-ed25519 key that is a point of the curve in its one encoding, and not of
// small order.
func CheckKey(key ssh.PublicKey) error {
	if key.Type() != ssh.KeyAlgoED25519 {
		return fmt.Errorf("%s keys are not taken, only %s", printable(key.Type()), ssh.KeyAlgoED25519)
	}
	c, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return errors.New("the key is not an Ed25519 key in its plain form")
	}
	public, ok := c.CryptoPublicKey().(ed25519.PublicKey)
	if !ok || len(public) != ed25519.PublicKeySize {
		return errors.New("the key is not an Ed25519 key in its plain form")
	}
	return checkPoint([ed25519.PublicKeySize]byte(public))
}

// checkPoint reads an encoding: y in little-endian order, and the sign of x in the highest bit. The two points with x = 0 would have two
// encodings each; both are of small order.
func checkPoint(encoding [ed25519.PublicKeySize]byte) error {
	slices.Reverse(encoding[:])
	encoding[0] &= 0x7f
	y := new(big.Int).SetBytes(encoding[:])
	if y.Cmp(fieldPrime) >= 0 {
		return errors.New("the key is not in its one encoding")
	}
	for _, bad := range smallOrder {
		if y.Cmp(bad) == 0 {
			return errors.New("the key is a point of small order: anyone can sign for it")
		}
	}
	if !onCurve(y) {
		return errors.New("the key is no point of the curve")
	}
	return nil
}

// onCurve tells whether x² = (y² - 1) / (dy² + 1) has a solution. The quotient is a square where the product is; -1/d is no square, so the
// divisor is never 0.
func onCurve(y *big.Int) bool {
	y2 := new(big.Int).Mul(y, y)
	over := new(big.Int).Sub(y2, big.NewInt(1))
	under := new(big.Int).Mul(y2, curveD)
	under.Add(under, big.NewInt(1))
	product := over.Mul(over, under)
	return big.Jacobi(product.Mod(product, fieldPrime), fieldPrime) >= 0
}

// Fingerprint gives a key as ssh-keygen -l shows it: SHA256 and base64.
func Fingerprint(key ssh.PublicKey) string { return ssh.FingerprintSHA256(key) }
