package dev.countersign.ejbca;

import java.math.BigInteger;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cert.X509v3CertificateBuilder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509ExtensionUtils;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

/** A CA: its key, and its certificate with those above it. */
public final class Authority {
  private static final long DAY = 86_400_000L;
  private static final SecureRandom RANDOM = new SecureRandom();

  public final String name;
  public final int id;
  public final PrivateKey key;
  /** The CA first, the root last. */
  public final List<X509Certificate> chain;

  private Authority(String name, int id, PrivateKey key, List<X509Certificate> chain) {
    this.name = name;
    this.id = id;
    this.key = key;
    this.chain = chain;
  }

  public static Authority make(String name, int id, String algorithm, String subject, Authority parent) throws Exception {
    KeyPair keys = keyPair(algorithm);
    X500Name own = new X500Name(subject);
    X500Name issuer = parent == null ? own : parent.subject();
    Date start = new Date(System.currentTimeMillis() - DAY);
    Date end = new Date(System.currentTimeMillis() + 3650 * DAY);
    SubjectPublicKeyInfo spki = SubjectPublicKeyInfo.getInstance(keys.getPublic().getEncoded());
    X509v3CertificateBuilder builder = new X509v3CertificateBuilder(issuer, serial(), start, end, own, spki);
    JcaX509ExtensionUtils utils = new JcaX509ExtensionUtils();
    builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(true));
    builder.addExtension(Extension.keyUsage, true, new KeyUsage(KeyUsage.keyCertSign | KeyUsage.cRLSign));
    builder.addExtension(Extension.subjectKeyIdentifier, false, utils.createSubjectKeyIdentifier(spki));
    if (parent != null)
      builder.addExtension(
          Extension.authorityKeyIdentifier, false, utils.createAuthorityKeyIdentifier(parent.chain.get(0)));
    PrivateKey signer = parent == null ? keys.getPrivate() : parent.key;
    List<X509Certificate> chain = new ArrayList<>();
    chain.add(new JcaX509CertificateConverter().getCertificate(builder.build(signerOf(signer))));
    if (parent != null) chain.addAll(parent.chain);
    return new Authority(name, id, keys.getPrivate(), chain);
  }

  public X500Name subject() {
    return X500Name.getInstance(chain.get(0).getSubjectX500Principal().getEncoded());
  }

  public static ContentSigner signerOf(PrivateKey key) throws Exception {
    return new JcaContentSignerBuilder(key.getAlgorithm().equals("RSA") ? "SHA256withRSA" : "SHA256withECDSA").build(key);
  }

  public static BigInteger serial() {
    return new BigInteger(127, RANDOM).setBit(126);
  }

  public static KeyPair keyPair(String algorithm) throws Exception {
    KeyPairGenerator generator = KeyPairGenerator.getInstance(algorithm);
    if (algorithm.equals("EC")) generator.initialize(new ECGenParameterSpec("secp256r1"));
    else generator.initialize(2048);
    return generator.generateKeyPair();
  }
}
