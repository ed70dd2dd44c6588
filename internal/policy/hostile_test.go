package policy

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ecluse/protocol/bundle"
)

// trial is one content, and the findings that it must have under rules: reason and path each, in their order.
type trial struct {
	name    string
	path    string
	content func(t *testing.T) []byte
	rules   func(r *Rules)
	want    []string
}

func is(b []byte) func(*testing.T) []byte { return func(*testing.T) []byte { return b } }

func from(name string) func(*testing.T) []byte {
	return func(t *testing.T) []byte { return testdata(t, name) }
}

func small(r *Rules) { r.Archives = Archives{Depth: 3, Entries: 100, Size: 1 << 20, Ratio: 100} }

func noPrograms(r *Rules) { r.Types.Deny = []string{"application/x-elf", "text/x-shellscript"} }

func secret(r *Rules) { r.Text = []string{"top secret"} }

const png = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00"

var hostile = []trial{
	// What is honest passes.
	{"text", "a.txt", is([]byte("words\n")), nil, nil},
	{"nothing", "a.txt", is(nil), func(r *Rules) { r.Types.Allow = []string{"text/csv"} }, nil},
	{"an archive", "a.zip", is(zipOf(m("a.txt", "words"), m("deep/b.txt", "more"))), noPrograms, nil},
	{"a tar of archives", "a.tar.gz", is(gz(tarOf(m("x.zip", string(zipped([]byte("words"))))))), noPrograms, nil},
	{"a 7z archive", "a.7z", from("plain.7z"), noPrograms, nil},
	{"an entry with dots in its name", "a.zip", is(zipOf(m("./a..b", "x"), m("dir/", ""))), nil, nil},
	{"a link that stays", "a.tar", is(tarOf(m("d/f", "x"), member{name: "d/l", link: "../d/f", kind: tar.TypeSymlink})), nil, nil},

	// Names and sizes.
	{"a name that is denied", "in/setup.EXE", is([]byte("x")), func(r *Rules) { r.Names.Deny = []string{"*.exe"} }, []string{"policy-name in/setup.EXE"}},
	{"a name that is not allowed", "in/a.doc", is([]byte("x")), func(r *Rules) { r.Names.Allow = []string{"**/*.csv"} }, []string{"policy-name in/a.doc"}},
	{"a name that is allowed", "in/deep/a.csv", is([]byte("x")), func(r *Rules) { r.Names.Allow = []string{"in/**/*.csv"} }, nil},
	{"a file that is too large", "a", is(make([]byte, 11)), func(r *Rules) { r.FileSize = 10 }, []string{"policy-size a"}},
	{"a name in an archive", "a.zip", is(zipOf(m("d/x.exe", "x"))), func(r *Rules) { r.Names.Deny = []string{"*.exe"} }, []string{"policy-name a.zip!d/x.exe"}},

	// Types are those of the content.
	{"a program", "readme.txt", is(elf), noPrograms, []string{"policy-type readme.txt"}},
	{"a program in a zip", "a.zip", is(zipOf(m("x", string(elf)))), noPrograms, []string{"policy-type a.zip!x"}},
	{"a program in a tar in zstd", "a.tar.zst", is(zst(tarOf(m("bin/x", string(elf))))), noPrograms, []string{"policy-type a.tar.zst!a.tar!bin/x"}},
	{"a program in a tgz", "a.tgz", is(gz(tarOf(m("x", string(elf))))), noPrograms, []string{"policy-type a.tgz!a.tar!x"}},
	{"a program in xz", "x.xz", is(xzOf(elf)), noPrograms, []string{"policy-type x.xz!x"}},
	{"a script", "a", is([]byte("#!/bin/sh\nrm -rf /\n")), noPrograms, []string{"policy-type a"}},
	{"two programs", "a.zip", is(zipOf(m("x", string(elf)), m("y", "words"), m("z", string(elf)))), noPrograms, []string{"policy-type a.zip!x", "policy-type a.zip!z"}},
	{"a type that is not allowed", "a.pdf", is([]byte("%PDF-1.7\n")), func(r *Rules) { r.Types.Allow = []string{"text/*", "image/png"} }, []string{"policy-type a.pdf"}},
	{"a family that is allowed", "a.png", is([]byte(png)), func(r *Rules) { r.Types.Allow = []string{"image/*"} }, nil},
	{"what others are made of", "a.docx", is(docx()), func(r *Rules) { r.Types.Allow = []string{"application/zip"} }, nil},
	{"a document whose parts are of other types", "a.docx", is(docx()), func(r *Rules) {
		r.Types.Allow = []string{"application/vnd.openxmlformats-officedocument.wordprocessingml.document"}
	}, nil},
	{"an archive that is not allowed", "a.zip", is(zipOf(m("a", "x"))), func(r *Rules) { r.Types.Allow = []string{"text/plain"} }, []string{"policy-type a.zip"}},
	{"a program that is called a picture", "a.png", is(elf), func(r *Rules) { r.Honest = true }, []string{"policy-type a.png"}},
	{"a zip that is called text", "a.zip", is(zipOf(m("a.csv", string(zipped([]byte("x")))))), func(r *Rules) { r.Honest = true }, []string{"policy-type a.zip!a.csv"}},
	{"a name that says nothing", "a.dat", is(elf), func(r *Rules) { r.Honest = true }, nil},
	{"age", "a.txt", is([]byte("age-encryption.org/v1\n-> X25519 abc\n")), func(r *Rules) { r.Types.Deny = []string{"application/age"} }, []string{"policy-type a.txt", "policy-encrypted a.txt"}},

	// Polyglots.
	{"a picture that is a zip as well", "a.png", is(append([]byte(png), shifted(zipOf(m("x", "y")), len(png))...)), nil, []string{"policy-type a.png"}},
	{"a pdf that is a zip as well", "a.pdf", is(append([]byte("%PDF-1.7\nwords\n"), shifted(zipOf(m("x", "y")), 15)...)), nil, []string{"policy-type a.pdf"}},
	{"four bytes by chance", "a.bin", is(append(bytes.Repeat([]byte{0xfe, 1}, 50), "PK\x05\x06 and nothing that is an archive"...)), nil, nil},
	{"the end of a zip at the edge of a window", "a.bin", is(append(bytes.Repeat([]byte{0xfe, 1}, window/2-5), shifted(zipOf(m("x", "y")), window-10)...)), nil, []string{"policy-type a.bin"}},

	// Text.
	{"a phrase", "a.txt", is([]byte("this is Top Secret, is it not")), secret, []string{"policy-text a.txt"}},
	{"a phrase at the edge of a window", "a.txt", is([]byte(strings.Repeat("x ", window/2-3) + "TOP SECRET")), secret, []string{"policy-text a.txt"}},
	{"a phrase behind megabytes", "a.txt", is([]byte(strings.Repeat("nothing to see\n", 1<<17) + "top secret\n")), secret, []string{"policy-text a.txt"}},
	{"a phrase in a 7z archive", "a.7z", from("plain.7z"), secret, []string{"policy-text a.7z!d/b.txt"}},
	{"a phrase in UTF-16", "a.txt", is(append([]byte{0xff, 0xfe}, wide("it is TOP SECRET")...)), secret, []string{"policy-text a.txt"}},
	{"a phrase with letters of others", "a.txt", is([]byte("ceci est STRICTEMENT RÉSERVÉ à nous")), func(r *Rules) { r.Text = []string{"strictement réservé"} }, []string{"policy-text a.txt"}},
	{"a phrase in a document", "a.docx", is(docx(m("word/footer.xml", "<?xml version=\"1.0\"?><w>TOP SECRET</w>"))), secret, []string{"policy-text a.docx!word/footer.xml"}},
	{"a phrase in what is no text", "a.bin", is(append(bytes.Repeat([]byte{0xfe, 1, 0}, 100), "top secret"...)), secret, []string{"policy-text a.bin"}},
	{"a phrase in UTF-16 without a mark", "a.txt", is(wide("it is TOP SECRET")), secret, []string{"policy-text a.txt"}},
	{"a phrase behind a magic", "a.txt", is([]byte("MZ: TOP SECRET")), secret, []string{"policy-text a.txt"}},

	// Text with something between its letters.
	{"a phrase with tags in it", "a.html", is([]byte("<html><p>it is top sec<b></b>ret</p></html>")), secret, []string{"policy-text a.html"}},
	{"a phrase with tags in it, of what is not called HTML", "a.txt", is([]byte("it is TOP S<i class=\"x>y\">EC</i>RET")), secret, []string{"policy-text a.txt"}},
	{"a phrase with a comment in it", "a.xml", is([]byte("<?xml version=\"1.0\"?><a>top se<!-- a > b -->cr<!-->et<!-- --></a>")), secret, []string{"policy-text a.xml"}},
	{"a phrase with CDATA in it", "a.xml", is([]byte("<?xml version=\"1.0\"?><a>top se<![CDATA[cr]]>et</a>")), secret, []string{"policy-text a.xml"}},
	{"a phrase with references in it", "a.html", is([]byte("<p>&#84;op s&shy;ec&#114et &amp; more</p>")), secret, []string{"policy-text a.html"}},
	{"a phrase with a reference at its end", "a.html", is([]byte("<p>top secre&#116")), secret, []string{"policy-text a.html"}},
	{"a phrase in runs of a document", "a.docx", is(docx(m("word/footer.xml", "<?xml version=\"1.0\"?><w:r><w:t>TOP SE</w:t></w:r><w:r><w:t xml:space='preserve'>CRET</w:t></w:r>"))), secret, []string{"policy-text a.docx!word/footer.xml"}},
	{"a phrase with tags in it, in UTF-16", "a.html", is(append([]byte{0xff, 0xfe}, wide("<p>TOP SE<b>CR</b>ET")...)), secret, []string{"policy-text a.html"}},
	{"a phrase with tags in it at the edge of a window", "a.html", is([]byte("<p>" + strings.Repeat("x ", window/2-7) + "TOP SE<b>" + "CRET")), secret, []string{"policy-text a.html"}},
	{"a phrase with a long tag in it", "a.html", is([]byte("<p>TOP SE<b " + strings.Repeat("x ", window) + ">CRET")), secret, []string{"policy-text a.html"}},
	{"a phrase behind a tag whose attribute is called =\"", "a.html", is([]byte("<a =\">TOP SEC<b></b>RET")), secret, []string{"policy-text a.html"}},
	{"the same, and a tag in it whose attribute holds >", "a.html", is([]byte("<a =\">TOP SEC<b x=y\" title='a>b'></b>RET")), secret, []string{"policy-text a.html"}},
	{"a phrase with a tag in it whose attribute is on the next line", "a.html", is([]byte("<p>TOP SEC<i title=\n\"a>b\"></i>RET")), secret, []string{"policy-text a.html"}},
	{"the same, with all other spaces", "a.html", is([]byte("<p>TOP SEC<i\ttitle\r=\t\r\f\n 'a>b'></i>RET")), secret, []string{"policy-text a.html"}},
	{"a phrase behind the beginning of a comment in a title", "a.html", is([]byte("<title><!--</title><p>TOP SEC<b></b>RET")), secret, []string{"policy-text a.html"}},
	{"a phrase behind the beginning of a comment in a script", "a.html", is([]byte("<script>\"<!--\"</script ><p>TOP SEC<b></b>RET")), secret, []string{"policy-text a.html"}},
	{"a phrase behind the beginning of a tag in a title", "a.html", is([]byte("<TITLE x><x a=\"</titles></Title\n>TOP SEC<i title='>'><!-- > --></i>RET")), secret, []string{"policy-text a.html"}},
	{"a phrase behind the beginning of a comment in an element like a title", "a.html", is([]byte("<noscript><!--</noscript>TOP SEC<i title='>'></i>RET")), secret, []string{"policy-text a.html"}},
	{"a phrase behind the beginning of a tag in CDATA", "a.xml", is([]byte("<?xml version=\"1.0\"?><a><![CDATA[<a =\"]]>TOP SEC<b></b>RET</a>")), secret, []string{"policy-text a.xml"}},
	{"the same, with all that hides", "a.xml", is([]byte("<?xml version=\"1.0\"?><a>]]<![CDATA[><!--<a b=\"]]>TOP SEC<b c='>'><!--> > --></b>RET</a>")), secret, []string{"policy-text a.xml"}},
	{"a phrase with a processing instruction in it", "a.xml", is([]byte("<?xml version=\"1.0\"?><a>TOP SEC<?x a>b?><![CDATA[\u200bR]]>ET</a>")), secret, []string{"policy-text a.xml"}},
	{"a phrase with an element in it whose name begins with no letter", "a.xml", is([]byte("<?xml version=\"1.0\"?><a>TOP SEC<_b/><é/>RET</a>")), secret, []string{"policy-text a.xml"}},
	{"a phrase with a reference that has many zeros", "a.html", is([]byte("<p>TOP sec&#" + strings.Repeat("0", 36) + "114;e&#x" + strings.Repeat("0", 5000) + "74;")), secret, []string{"policy-text a.html"}},
	{"a phrase with letters in it that nobody sees", "a.txt", is([]byte("it is TOP\u200b S\u00adE\ufe0fCR\u2060\U000e0041E\ufeffT")), secret, []string{"policy-text a.txt"}},
	{"the same, many of them", "a.txt", is([]byte(strings.Repeat("x", window-11) + "TOP SEC" + strings.Repeat("\u200b", window) + "RET")), secret, []string{"policy-text a.txt"}},
	{"words apart", "a.html", is([]byte("<p>top</p><p>secret</p> if a < b, top sec > ret && top sec &middot; ret")), secret, nil},
	{"a phrase that looks like a tag", "a.txt", is([]byte("<top secret>")), secret, []string{"policy-text a.txt"}},

	// Macros.
	{"a document with macros", "a.docm", is(docx(m("word/vbaProject.bin", "x"))), nil, []string{"policy-macro a.docm!word/vbaProject.bin"}},
	{"the same, allowed", "a.docm", is(docx(m("word/vbaProject.bin", "x"))), func(r *Rules) { r.Macros = true }, nil},
	{"an old document with macros", "a.doc", is(ole(wide("_VBA_Project"))), nil, []string{"policy-macro a.doc"}},
	{"an old document", "a.doc", is(ole(nil)), nil, nil},
	{"a document with macros in an archive", "a.zip", is(zipOf(m("x/a.docm", string(docx(m("word/VBAPROJECT.BIN", "x")))))), nil, []string{"policy-macro a.zip!x/a.docm!word/VBAPROJECT.BIN"}},

	// Bombs.
	{"ten archives deep", "a.zip", is(nested(10, eicar, zipped)), small, []string{"policy-archive a.zip!inner!inner!inner"}},
	{"as deep as is allowed", "a.zip", is(nested(3, elf, zipped)), func(r *Rules) { small(r); noPrograms(r) }, []string{"policy-type a.zip!inner!inner!inner"}},
	{"streams without end", "a.gz", is(endless()), nil, []string{"policy-archive a.gz!a!a!a!a!a!a!a!a"}},
	{"blanks in gzip", "a.gz", is(gz(make([]byte, 64<<20))), func(r *Rules) { r.Archives.Ratio = 100 }, []string{"policy-archive a.gz!a"}},
	{"blanks in zstd, twice", "a.zst", is(zst(zst(make([]byte, 64<<20)))), func(r *Rules) { r.Archives.Ratio = 1000 }, []string{"policy-archive a.zst!a!a"}},
	{"blanks in zip", "a.zip", is(zipOf(m("a", string(make([]byte, 32<<20))))), func(r *Rules) { r.Archives.Ratio = 100 }, []string{"policy-archive a.zip!a"}},
	{"more than may come out", "a.zip", is(zipOf(m("a", strings.Repeat("x", 700<<10)), m("b", strings.Repeat("y", 700<<10)))), small, []string{"policy-archive a.zip!b"}},
	{"one place, many entries", "a.zip", is(overlapping(50, strings.Repeat("overlap ", 8<<10))), small, []string{"policy-broken a.zip"}},
	{"a hundred thousand entries", "a.zip", func(*testing.T) []byte { return zipOf(slices.Repeat([]member{m("x", "")}, 100_001)...) }, nil, []string{"policy-archive a.zip"}},
	{"entries of many archives", "a.tar", is(tarOf(m("a.zip", string(zipOf(slices.Repeat([]member{m("x", "")}, 60)...))), m("b.zip", string(zipOf(slices.Repeat([]member{m("x", "")}, 60)...))))), small,
		[]string{"policy-archive a.tar!b.zip"}},
	{"a sparse tar of 1 TiB", "a.tar", is(sparse(1 << 40)), nil, []string{"policy-archive a.tar!sparse.bin"}},

	// What cannot be looked into.
	{"an encrypted zip", "a.zip", from("secret.zip"), nil, []string{"policy-encrypted a.zip!d/a.txt", "policy-encrypted a.zip!d/b.txt"}},
	{"the same, allowed", "a.zip", from("secret.zip"), func(r *Rules) { r.Archives.Encrypted = true }, nil},
	{"an encrypted 7z", "a.7z", from("secret.7z"), nil, []string{"policy-encrypted a.7z!d/a.txt", "policy-encrypted a.7z!d/b.txt"}},
	{"a 7z with encrypted names", "a.7z", from("veiled.7z"), nil, []string{"policy-encrypted a.7z!a"}},
	{"a zip that is cut", "a.zip", is(shortened(zipOf(m("a", "words")), 20)), nil, []string{"policy-broken a.zip"}},
	{"a gzip that is cut", "a.gz", is(shortened(gz([]byte(strings.Repeat("many words ", 1000))), 9)), nil, []string{"policy-broken a.gz!a"}},
	{"a tar that is cut", "a.tar", is(shortened(tarOf(m("a", strings.Repeat("x", 5000))), 4000)), nil, []string{"policy-broken a.tar!a", "policy-broken a.tar"}},
	{"zeros behind gzip", "a.gz", is(append(gz([]byte("words")), make([]byte, 5000)...)), nil, nil},
	{"several members of gzip", "a.gz", is(append(gz([]byte("words")), gz(elf)...)), noPrograms, nil},
	{"a phrase across members of gzip", "a.gz", is(append(gz([]byte("TOP SE")), gz([]byte("CRET"))...)), secret, []string{"policy-text a.gz!a"}},
	{"garbage behind zeros behind gzip", "a.gz", is(append(append(gz([]byte("words")), make([]byte, 50)...), 1)), nil, []string{"policy-broken a.gz!a"}},
	{"garbage behind gzip", "a.gz", is(append(gz([]byte("words")), "garbage"...)), nil, []string{"policy-broken a.gz!a"}},
	{"one flipped bit in xz", "a.xz", is(flipped(xzOf([]byte(strings.Repeat("words ", 100))), 60)), nil, []string{"policy-broken a.xz!a"}},
	{"a zip with a wrong sum", "a.zip", is(overlappingWrong()), nil, []string{"policy-broken a.zip!000000"}},
	{"a zstd window of gigabytes", "a.zst", is([]byte("\x28\xb5\x2f\xfd\x00\xa8\x00\x00\x00 and more")), nil, []string{"policy-broken a.zst!a"}},

	// What is one thing to us, and another to who unpacks it.
	{"a program that says it is a directory", "a.zip", is(zipOf(member{name: "x", content: string(elf), mode: fs.ModeDir})), noPrograms, []string{"policy-type a.zip!x"}},
	{"a program that says it is a link", "a.zip", is(zipOf(member{name: "x", content: string(elf), mode: fs.ModeSymlink})), noPrograms, []string{"policy-type a.zip!x"}},
	{"a zip whose entry has another name where it stands", "a.zip", is(bytes.Replace(zipOf(m("good", "words")), []byte("good"), []byte("evil"), 1)), nil, []string{"policy-broken a.zip"}},
	{"a zip with another method where it stands", "a.zip", is(flipped(zipOf(m("good", "words")), 8)), nil, []string{"policy-broken a.zip"}},
	{"a zip that hides an entry", "a.zip", is(hiding()), noPrograms, []string{"policy-broken a.zip"}},
	{"a zip with something before it", "a.zip", is(append(zipOf(m("a", "words")), zipOf(m("x", string(elf)))...)), noPrograms, []string{"policy-broken a.zip"}},
	{"a tar that begins like a picture", "a.gif", is(tarOf(m("GIF89a", "words"), m("x", string(elf)))), noPrograms, []string{"policy-type a.gif", "policy-type a.gif!x"}},
	{"a tar that is not called one", "a", is(tarOf(m("d/gpkg-1", "words"), m("x", string(elf)))), noPrograms, []string{"policy-type a!x"}},
	{"a tar behind a block of something else", "a.bin", is(append(bytes.Repeat([]byte{0xfe}, 512), tarOf(m("x", string(elf)))...)), nil, []string{"policy-type a.bin"}},
	{"a tar behind a picture", "a.png", is(append(append([]byte(png), make([]byte, 8192-len(png))...), tarOf(m("x", "y"))...)), nil, []string{"policy-type a.png"}},
	{"the same, compressed", "a.gz", is(gz(append(bytes.Repeat([]byte("x"), 1024), tarOf(m("x", "y"))...))), nil, []string{"policy-type a.gz!a"}},
	{"a tar behind a picture of megabytes", "a.png", is(append(append([]byte(png), make([]byte, 3<<20-len(png))...), tarOf(m("x", "y"))...)), nil, []string{"policy-type a.png"}},
	{"a tar behind text, at the edge of a window", "a.txt", is(append(bytes.Repeat([]byte("x"), window-window%headerSize), tarOf(m("x", "y"))...)), secret, []string{"policy-type a.txt"}},
	{"a tar in an image of a disk", "a.img", is(append(bytes.Repeat([]byte{0xfe, 1}, 1<<19), tarOf(m("x", "y"))...)), nil, nil},
	{"a tar in a zip that no entry tells of", "a.zip", is(commented(append(make([]byte, 1<<15), tarOf(m("x", "y"))...))), nil, []string{"policy-type a.zip"}},
	{"a tar behind a picture, with a sum that ends early", "a.png", is(append(append([]byte(png), make([]byte, 8192-len(png))...), resummed(tarOf(m("x", "y")), "%06o\x00x")...)), nil, []string{"policy-type a.png"}},
	{"a tar behind a picture, with a sum in base 64", "a.png", is(append(append([]byte(png), make([]byte, 8192-len(png))...), resummed(tarOf(m("x", "y")), "+")...)), nil, []string{"policy-type a.png"}},
	{"numbers in columns, one of which is a sum by chance", "a.txt", is(append(bytes.Repeat([]byte(" 9 "), sought/3*512), columns()...)), nil, nil},
	{"a tar that is no block behind its beginning", "a.bin", is(append(bytes.Repeat([]byte{0xfe}, 500), tarOf(m("x", "y"))...)), nil, nil},
	{"two tars", "a.tar", is(append(tarOf(m("a", "words")), tarOf(m("x", string(elf)))...)), noPrograms, []string{"policy-broken a.tar"}},
	{"a tar with a zip behind it", "a.tar", is(append(tarOf(m("a", "words")), zipOf(m("x", "y"))...)), nil, []string{"policy-broken a.tar"}},
	{"a tar that ends with a zip", "a.tar", is(tarOf(m("a", "words"), m("x.zip", string(zipOf(m("x", "y")))))), nil, nil},
	{"a tar that says of all its entries where they lead", "a.tar", is(global()), nil, []string{"policy-broken a.tar"}},
	{"zstd with a zip in a frame that is skipped", "a.zst", is(append(append(zst([]byte("words")), "\x50\x2a\x4d\x18\xff\x00\x00\x00"...), shifted(zipOf(m("x", "y")), 100)...)), nil, []string{"policy-type a.zst", "policy-broken a.zst!a"}},
	{"text that is a zip as well", "a.txt", is(append([]byte("words and words\n"), shifted(zipOf(m("x", "y")), 16)...)), secret, []string{"policy-type a.txt"}},
	{"the end of a zip that says nothing of it", "a.png", is(append([]byte(png), "PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00"...)), nil, []string{"policy-type a.png"}},
	{"an old document that holds a new one", "a.doc", is(append(ole(zipOf(m("x", "y"))), "more"...)), nil, nil},
	{"an archive that nobody opens", "a.ar", is([]byte("!<arch>\ndebian-binary   1342943816  0     0     100644  4         `\n2.0\n")), nil, []string{"policy-broken a.ar"}},
	{"the same, allowed by its name", "a.lzma", is([]byte("\x5d\x00\x00\x80\x00 and more")), func(r *Rules) { r.Types.Allow = []string{"application/x-lzma"} }, nil},
	{"an encrypted document", "a.docx", is(ole(wide("EncryptedPackage"))), nil, []string{"policy-encrypted a.docx"}},

	// Names and links in archives.
	{"a name that begins with a dot and a slash", "a.tar", is(tarOf(m("./bin/x", "y"))), func(r *Rules) { r.Names.Deny = []string{"bin/*"} }, []string{"policy-name a.tar!./bin/x"}},
	{"a name that ends in a dot", "a.zip", is(zipOf(m("x.exe.", "y"), m("y.exe ", "z"))), func(r *Rules) { r.Names.Deny = []string{"*.exe"} }, []string{"policy-name a.zip!x.exe.", "policy-name a.zip!y.exe "}},
	{"a name of what is compressed", "x.exe.gz", is(gz([]byte("y"))), func(r *Rules) { r.Names.Deny = []string{"*.exe"} }, []string{"policy-name x.exe.gz!x.exe"}},
	{"a name within what is compressed", "x.gz", is(gzNamed("x.exe")), func(r *Rules) { r.Names.Deny = []string{"*.exe"} }, []string{"policy-name x.gz!x.exe"}},
	{"a name among the parts of what looks like a document", "a.docx", is(docx(m("x.exe", "y"))), func(r *Rules) { r.Names.Deny = []string{"*.exe"} }, []string{"policy-name a.docx!x.exe"}},
	{"a directory whose files are allowed", "a.zip", is(zipOf(m("in/", ""), m("in/a.csv", "x"))), func(r *Rules) { r.Names.Allow = []string{"*.csv", "a.zip"} }, nil},
	{"a hard link that goes back behind a name", "a.tar", is(tarOf(member{name: "l", link: "d/../../x", kind: tar.TypeLink})), nil, []string{"policy-path a.tar!l"}},
	{"links that lead out together", "a.tar", is(tarOf(member{name: "a/b/c", link: "../..", kind: tar.TypeSymlink}, member{name: "d", link: "a/b/c/..", kind: tar.TypeSymlink}, m("d/x", "y"))), nil, []string{"policy-path a.tar!d", "policy-path a.tar!d/x"}},
	{"macros of another office", "a.odt", is(zipOf(m("mimetype", "application/vnd.oasis.opendocument.text"), m("Basic/Standard/Module1.xml", "<x/>"))), nil, []string{"policy-macro a.odt!Basic/Standard/Module1.xml"}},
	{"a path that leaves", "a.zip", is(zipOf(m("../../etc/cron.d/x", "x"))), nil, []string{"policy-path a.zip!../../etc/cron.d/x"}},
	{"an absolute path", "a.tar", is(tarOf(m("/etc/passwd", "x"))), nil, []string{"policy-path a.tar!/etc/passwd"}},
	{"a backslash", "a.zip", is(zipOf(m(`..\..\x`, "x"))), nil, []string{`policy-path a.zip!..\..\x`}},
	{"an escape for a terminal", "a.zip", is(zipOf(m("\x1b[31mx", "x"))), nil, []string{"policy-path a.zip!\x1b[31mx"}},
	{"a name that turns around", "a.zip", is(zipOf(m("exe.\u202etxt", "x"))), nil, []string{"policy-path a.zip!exe.\u202etxt"}},
	{"a link that leaves", "a.tar", is(tarOf(member{name: "d/l", link: "../../x", kind: tar.TypeSymlink})), nil, []string{"policy-path a.tar!d/l"}},
	{"an absolute link", "a.tar", is(tarOf(member{name: "l", link: "/etc/shadow", kind: tar.TypeSymlink})), nil, []string{"policy-path a.tar!l"}},
	{"a hard link that leaves", "a.tar", is(tarOf(member{name: "l", link: "../x", kind: tar.TypeLink})), nil, []string{"policy-path a.tar!l"}},
	{"a link in a zip", "a.zip", is(zipOf(member{name: "l", content: "../../x", mode: fs.ModeSymlink})), nil, []string{"policy-path a.zip!l"}},
	{"a device", "a.tar", is(tarOf(member{name: "sda", kind: tar.TypeBlock})), nil, []string{"policy-path a.tar!sda"}},
	{"a pipe", "a.tar", is(tarOf(member{name: "p", kind: tar.TypeFifo})), nil, []string{"policy-path a.tar!p"}},
}

// resummed is a tar archive whose first header says its sum in another form; "+" is base 64.
func resummed(b []byte, format string) []byte {
	sum, err := strconv.ParseInt(strings.Trim(string(b[148:156]), " \x00"), 8, 64)
	if err != nil {
		panic(err)
	}
	if format != "+" {
		copy(b[148:156], fmt.Sprintf(format, sum))
		return b
	}
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	copy(b[148:156], []byte{'+', 'A', 'A', 'A', 'A', digits[sum>>12&63], digits[sum>>6&63], digits[sum&63]})
	return b
}

// commented is a zip archive with something in its entry's extra field that stands at blocks of its own.
func commented(more []byte) []byte {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	h := &zip.FileHeader{Name: "x", Method: zip.Store}
	pad := headerSize - 30 - len(h.Name) - 4
	h.Extra = append([]byte{0xfe, 0xca, 0, 0}, append(make([]byte, pad), more...)...)
	binary.LittleEndian.PutUint16(h.Extra[2:], uint16(len(h.Extra)-4))
	if _, err := w.CreateHeader(h); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// columns is a block of text that has a tar header's sum, and none of its other numbers.
func columns() []byte {
	b := bytes.Repeat([]byte("    9999"), headerSize/8)
	sum := int64(8 * ' ')
	for i, c := range b {
		if i < 148 || i >= 156 {
			sum += int64(c)
		}
	}
	copy(b[148:156], fmt.Sprintf("%7o\n", sum)[:7]+" ")
	return b
}

func shortened(b []byte, n int) []byte { return b[:len(b)-n] }

func flipped(b []byte, at int) []byte { b = slices.Clone(b); b[at] ^= 4; return b }

func overlappingWrong() []byte {
	b := overlapping(1, "words")
	return bytes.Replace(b, []byte("words"), []byte("WORDS"), 1)
}

// docx is a document with parts.
func docx(more ...member) []byte {
	return zipOf(append([]member{m("[Content_Types].xml", "<?xml version=\"1.0\"?><Types/>"), m("_rels/.rels", "<?xml version=\"1.0\"?><r/>"), m("word/document.xml", "<?xml version=\"1.0\"?><w/>")}, more...)...)
}

// shifted is a zip archive that knows that it stands behind something else.
func shifted(z []byte, by int) []byte {
	z = slices.Clone(z)
	end := bytes.LastIndex(z, []byte(zipEnd))
	le := func(at int) {
		n := int(z[at]) | int(z[at+1])<<8 | int(z[at+2])<<16
		n += by
		z[at], z[at+1], z[at+2] = byte(n), byte(n>>8), byte(n>>16)
	}
	at := int(z[end+16]) | int(z[end+17])<<8 | int(z[end+18])<<16
	le(end + 16)
	for bytes.HasPrefix(z[at:], []byte("PK\x01\x02")) {
		le(at + 42)
		at += 46 + int(z[at+28]) + int(z[at+30]) + int(z[at+32])
	}
	return z
}

func TestHostileContents(t *testing.T) {
	if len(hostile) < 60 {
		t.Fatalf("only %d contents", len(hostile))
	}
	seen := make(map[bundle.Reason]bool)
	for _, x := range hostile {
		t.Run(x.name, func(t *testing.T) {
			content := x.content(t)
			rules := Rules{Archives: DefaultArchives}
			if x.rules != nil {
				x.rules(&rules)
			}
			e := rules.Begin(t.TempDir(), 1<<30)
			began := time.Now()
			e.Name(x.path, int64(len(content)))
			if err := e.File(x.path, bytes.NewReader(content), int64(len(content))); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
			var got []string
			list, _ := e.Findings()
			for _, f := range list {
				got = append(got, string(f.Reason)+" "+f.Path)
				seen[f.Reason] = true
			}
			if !slices.Equal(got, x.want) {
				t.Errorf("found %q, want %q\n%v", got, x.want, list)
			}
		})
	}
	for _, r := range []bundle.Reason{bundle.ReasonPolicyName, bundle.ReasonPolicySize, bundle.ReasonPolicyType, bundle.ReasonPolicyText, bundle.ReasonPolicyMacro, bundle.ReasonPolicyPath,
		bundle.ReasonPolicyArchive, bundle.ReasonPolicyEncrypted, bundle.ReasonPolicyBroken} {
		if !seen[r] {
			t.Errorf("nothing is found %s", r)
		}
	}
}
