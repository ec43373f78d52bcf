package dev.countersign.ejbca;

import dev.countersign.ejbca.ws.UserDataVOWS;
import java.net.InetAddress;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Date;
import java.util.List;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.ExtendedKeyUsage;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cert.X509v3CertificateBuilder;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509ExtensionUtils;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedDataGenerator;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoGeneratorBuilder;

/** Leaf certificates, right and wrong, and the PKCS#7 they travel in. */
public final class Issuance {
  private static final long HOUR = 3_600_000L;

  private Issuance() {}

  public record Signed(X509Certificate leaf, List<X509Certificate> all) {}

  /** Names of the text form of EJBCA: types in any case, an unescaped comma begins another name. */
  public static List<GeneralName> names(String text) throws Exception {
    List<GeneralName> names = new ArrayList<>();
    for (String part : text.split("(?<!\\\\),")) {
      if (part.isBlank()) continue;
      int equals = part.indexOf('=');
      String type = part.substring(0, equals).strip().toLowerCase();
      String value = part.substring(equals + 1).replaceAll("\\\\(.)", "$1");
      switch (type) {
        case "dnsname" -> names.add(new GeneralName(GeneralName.dNSName, value));
        case "ipaddress" -> names.add(new GeneralName(GeneralName.iPAddress, InetAddress.getByName(value).getHostAddress()));
        case "uniformresourceid" -> names.add(new GeneralName(GeneralName.uniformResourceIdentifier, value));
        case "rfc822name" -> names.add(new GeneralName(GeneralName.rfc822Name, value));
        default -> throw new IllegalArgumentException("unknown alternative name " + type);
      }
    }
    return names;
  }

  public static Signed sign(Authority ca, UserDataVOWS user, SubjectPublicKeyInfo key, Date[] validity, String wrong)
      throws Exception {
    List<GeneralName> names = names(user.subjectAltName == null ? "" : user.subjectAltName);
    if (wrong.equals("name")) names.add(new GeneralName(GeneralName.dNSName, "extra.example.test"));
    if (wrong.equals("missing name")) names.remove(names.size() - 1);
    SubjectPublicKeyInfo spki =
        wrong.equals("key") ? SubjectPublicKeyInfo.getInstance(Authority.keyPair("EC").getPublic().getEncoded()) : key;
    Date start = new Date(validity[0].getTime() - (wrong.equals("past") ? 24 * HOUR : 0));
    Date end = new Date(validity[1].getTime() + (wrong.equals("validity") ? HOUR : 0));
    Authority signer =
        wrong.equals("issuer") || wrong.equals("chain")
            ? Authority.make("rogue", 0, "EC", ca.subject().toString(), null)
            : ca;
    X500Name subject = new X500Name(user.subjectDN == null ? "" : user.subjectDN);
    X509v3CertificateBuilder builder =
        new X509v3CertificateBuilder(ca.subject(), Authority.serial(), start, end, subject, spki);
    JcaX509ExtensionUtils utils = new JcaX509ExtensionUtils();
    builder.addExtension(Extension.subjectKeyIdentifier, false, utils.createSubjectKeyIdentifier(spki));
    builder.addExtension(
        Extension.authorityKeyIdentifier,
        false,
        utils.createAuthorityKeyIdentifier((wrong.equals("chain") ? ca : signer).chain.get(0)));
    builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(wrong.equals("ca")));
    builder.addExtension(Extension.keyUsage, true, new KeyUsage(KeyUsage.digitalSignature | KeyUsage.keyEncipherment));
    KeyPurposeId purpose = wrong.equals("usages") ? KeyPurposeId.id_kp_codeSigning : KeyPurposeId.id_kp_serverAuth;
    builder.addExtension(Extension.extendedKeyUsage, false, new ExtendedKeyUsage(purpose));
    if (!names.isEmpty()) {
      boolean critical = subject.getRDNs().length == 0;
      GeneralNames all = new GeneralNames(names.toArray(new GeneralName[0]));
      builder.addExtension(Extension.subjectAlternativeName, critical, all);
    }
    X509Certificate leaf =
        new JcaX509CertificateConverter().getCertificate(builder.build(Authority.signerOf(signer.key)));
    List<X509Certificate> certificates = new ArrayList<>();
    certificates.add(leaf);
    certificates.addAll(wrong.equals("issuer") ? signer.chain : ca.chain);
    return new Signed(leaf, certificates);
  }

  /** SignedData by the CA with the certificates in no order, in BER, as Bouncy Castle writes it. */
  public static byte[] pkcs7(Authority ca, List<X509Certificate> certificates) throws Exception {
    List<X509Certificate> shuffled = new ArrayList<>(certificates);
    Collections.shuffle(shuffled);
    CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
    String algorithm = ca.key.getAlgorithm().equals("RSA") ? "SHA256withRSA" : "SHA256withECDSA";
    generator.addSignerInfoGenerator(new JcaSimpleSignerInfoGeneratorBuilder().build(algorithm, ca.key, ca.chain.get(0)));
    generator.addCertificates(new JcaCertStore(shuffled));
    return generator.generate(new CMSProcessableByteArray("EJBCA".getBytes()), true).getEncoded();
  }
}
