/**
 * Seals a card for the vault: a compact JWE (RFC 7516) that only the vault can open, ECDH-ES on P-256 (RFC 7518,
 * section 4.6) and A256GCM. WebCrypto only; runs as it stands in browsers (on https pages) and in Node 22.
 *
 * card        {number: "4242…", exp_month: 12, exp_year: 2031, cvc: "123"}
 * publicJwk   keys[0] of GET /api/v1/vault/public_key
 * merchantId  your mer_…
 * nonce       leave it out for a payment; "tokens" for POST /api/v1/tokens
 */
async function sealCard(card, publicJwk, merchantId, nonce = crypto.randomUUID()) {
  const P256 = { name: "ECDH", namedCurve: "P-256" };
  const subtle = crypto.subtle;
  const utf8 = (text) => new TextEncoder().encode(text);
  const base64url = (bytes) =>
    btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const uint32 = (number) => [0, 0, number >> 8, number & 255]; // big-endian, of numbers under 65,536

  // A key pair for this envelope alone, and the secret it shares with the vault's key.
  const point = ({ x, y }) => ({ kty: "EC", crv: "P-256", x, y }); // without the fields of a JWK that restrict its use
  const vaultKey = await subtle.importKey("jwk", point(publicJwk), P256, false, []);
  const ephemeral = await subtle.generateKey(P256, false, ["deriveBits"]);
  const epk = point(await subtle.exportKey("jwk", ephemeral.publicKey));
  const secret = await subtle.deriveBits({ name: "ECDH", public: vaultKey }, ephemeral.privateKey, 256);

  // Concat KDF (RFC 7518, section 4.6.2): round 1, secret, AlgorithmID, no PartyUInfo, no PartyVInfo, 256 bits.
  const info = [...uint32(7), ...utf8("A256GCM"), ...uint32(0), ...uint32(0), ...uint32(256)];
  const derived = await subtle.digest("SHA-256", Uint8Array.from([...uint32(1), ...new Uint8Array(secret), ...info]));
  const contentKey = await subtle.importKey("raw", derived, "AES-GCM", false, ["encrypt"]);

  // Ten minutes early and thirty late: the clocks of customers are wrong. The vault allows an hour between the two.
  const now = Math.floor(Date.now() / 1000);
  const header = base64url(utf8(JSON.stringify({
    alg: "ECDH-ES", enc: "A256GCM", kid: publicJwk.kid, epk,
    merchant: merchantId, nonce, iat: now - 600, exp: now + 1800,
  })));

  const iv = crypto.getRandomValues(new Uint8Array(12));
  const algorithm = { name: "AES-GCM", iv, additionalData: utf8(header), tagLength: 128 };
  const sealed = new Uint8Array(await subtle.encrypt(algorithm, contentKey, utf8(JSON.stringify(card))));
  const [ciphertext, tag] = [sealed.slice(0, -16), sealed.slice(-16)];
  return [header, "", base64url(iv), base64url(ciphertext), base64url(tag)].join("."); // ECDH-ES encrypts no key
}
