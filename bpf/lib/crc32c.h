/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a change of four bytes does to a CRC32c (RFC 9260 A, the CRC of SCTP). A CRC is
 * linear: the new one is the old one plus the CRC of the difference, and that is the
 * difference as a polynomial times x once for each bit from its first to the end of the
 * data, modulo the CRC's polynomial. What lies in between is not read.
 *
 * Polynomials of degree 31 and less are written as the CRC is: bit 31 belongs to x^0.
 */
#ifndef XLVS_CRC32C_H
#define XLVS_CRC32C_H

#include "lib/base.h"

#define CRC32C_POLYNOMIAL 0x82f63b78u
#define CRC32C_NIBBLES 4 /* of a length */

/* [k][j] is x^(8 * j * 16^k): j * 16^k bytes further. */
constant_table __u32 crc32c_bytes_further[CRC32C_NIBBLES][16] = {
	{ 0x80000000, 0x00800000, 0x00008000, 0x00000080, 0x82f63b78, 0xfbc3faf9, 0x8b277743,
	  0x52a0c93f, 0x6ea2d55c, 0x1c08b7d6, 0xf56e0ef4, 0x34019664, 0xa66805eb, 0x7a1f6b24,
	  0xe75d06aa, 0xc94ec098 },
	{ 0x80000000, 0x18b8ea18, 0x510ac59a, 0xb2dea967, 0xb82be955, 0x36c41f1c, 0x19b29a35,
	  0xc9e90b9e, 0xb8fdb1e7, 0xe55ef1f3, 0x1fe0b5c3, 0xe0553f1e, 0x18e4a304, 0x2b830011,
	  0x56993a31, 0x0246e2e6 },
	{ 0x80000000, 0x88e56f72, 0x74c360a4, 0x631bb273, 0xe4172b16, 0x71892b1b, 0x835305c9,
	  0x196b1eae, 0x0d65762a, 0xafc81338, 0xb5a50ab7, 0xf373c3ac, 0x5f60970f, 0xd46d3063,
	  0x3a5275ea, 0x02331c01 },
	{ 0x80000000, 0x35d73a62, 0x28461564, 0x43eefc9f, 0xbf455269, 0x5edcdeb9, 0x65059450,
	  0x4e6f41a4, 0xe2ea32dc, 0xf5b95b32, 0x695a4c87, 0xf204502c, 0x9a4f01b6, 0x941a0916,
	  0x4303cb97, 0x4c3d3d65 },
};

/*
 * The bits are hidden from the compiler, which would make masks of them: newer verifiers
 * follow a value that is either 0 or all ones on two paths (kernel 6.18), 2^64 in all.
 */
static __always_inline __u32 crc32c_multiply(__u32 a, __u32 b)
{
	__u32 product = 0;

	for (int i = 0; i < 32; i++) {
		__u32 term = a >> 31, carry = b & 1;

		opaque(term);
		opaque(carry);
		product ^= term * b;
		a <<= 1;
		b = b >> 1 ^ carry * CRC32C_POLYNOMIAL;
	}
	return product;
}

/*
 * The difference of the CRC if four bytes change with `length` bytes from the first of
 * them to the end (65535 at most). `difference` is old xor new, read as little endian.
 */
subprogram __u32 crc32c_difference(__u32 difference, __u32 length)
{
	for (__u32 k = 0; k < CRC32C_NIBBLES; k++) {
		__u32 nibble = length >> 4 * k & 15;

		if (nibble)
			difference = crc32c_multiply(difference, crc32c_bytes_further[k][nibble]);
	}
	return difference;
}

#endif
