// Verifies PEM chains (leaf first, root last) with Java's PKIX validator. One line a chain that does not verify; the last line counts those that do.
import java.io.FileInputStream;
import java.security.cert.CertPathValidator;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

class Verify {
    public static void main(String[] files) throws Exception {
        int good = 0;
        for (String file : files) {
            try {
                verify(file);
                good++;
            } catch (Exception fault) {
                System.out.println(file + ": " + fault);
            }
        }
        System.out.println("verified " + good);
    }

    private static void verify(String file) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        List<X509Certificate> chain = new ArrayList<>();
        try (FileInputStream in = new FileInputStream(file)) {
            for (var certificate : factory.generateCertificates(in)) chain.add((X509Certificate) certificate);
        }
        X509Certificate root = chain.remove(chain.size() - 1);
        PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(root, null)));
        parameters.setRevocationEnabled(false);
        CertPathValidator.getInstance("PKIX").validate(factory.generateCertPath(chain), parameters);
        X509Certificate leaf = chain.get(0);
        if (leaf.getSubjectAlternativeNames() == null || leaf.getBasicConstraints() != -1) throw new Exception("no names, or a CA");
    }
}
